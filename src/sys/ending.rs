//! Threads that the interpreter ends in the middle of our code.
//!
//! Once it is ending, CPython before 3.14 ends every other thread that asks for the GIL, by
//! `pthread_exit`. Where that thread has got there through us (a callback, an iterator, a `fileno()`
//! that was called from here), the C library then unwinds our frames: it drops what they hold, Python
//! objects among it, without the GIL and while the interpreter is taken apart, and what stops a panic
//! at our borders stops it too, with an abort. So such a thread has to stand still instead, which is
//! what CPython itself does from 3.14 on.
//!
//! A thread that uses the library is armed once: a handler of its own is put on the C library's list
//! of what to do when the thread is ended. It is called before the first frame is unwound, since it
//! is kept outside of the thread's stack, and never returns once the interpreter is ending. A longjmp(3)
//! of other C code in the thread takes it off the list, uncalled, for the same reason.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit hooks are running, or have run: threads may be ended at any moment.
static ENDING: AtomicBool = AtomicBool::new(false);

/// From now on armed threads stand still when they are ended.
pub fn begin() {
    ENDING.store(true, Ordering::Release);
}

/// Is the interpreter ending?
pub fn has_begun() -> bool {
    ENDING.load(Ordering::Acquire)
}

/// An element of the C library's list: `struct _pthread_cleanup_buffer` (glibc, four words) or
/// `struct __ptcb` (musl, three). Only the library reads or writes it.
type Element = UnsafeCell<[usize; 8]>;

type Push = unsafe extern "C" fn(*mut c_void, extern "C" fn(*mut c_void), *mut c_void);

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    /// Let go of when the thread has ended, and with it its list.
    static ELEMENT: Cell<Option<Box<Element>>> = const { Cell::new(None) };
}

/// Have the calling thread stand still when the ending interpreter ends it. Whatever may call Python
/// code from Rust does this first.
#[inline]
pub fn arm_thread() {
    // A thread of a model is none of the C library's.
    if !cfg!(shuttle) && !ARMED.get() {
        arm();
    }
}

#[cold]
fn arm() {
    ARMED.set(true);
    let Some(push) = push_function() else { return };
    let element = Box::new(Element::new([0; 8]));
    let at = element.get().cast();
    // A thread whose thread-locals are gone already has nothing to wait for either.
    if ELEMENT.try_with(|place| place.set(Some(element))).is_ok() {
        // SAFETY: the element outlives the thread's last look at its list: it goes with the
        // thread-locals, after which nothing reads the list (I9). It is never popped: an older
        // element that is popped by its owner takes it off the list.
        unsafe { push(at, ended, ptr::null_mut()) };
    }
}

/// What C's pthread_cleanup_push(3) calls where it is a function; in glibc the older one of two ways,
/// in both the only one whose element need not be in the caller's frame.
fn push_function() -> Option<Push> {
    // SAFETY: a name that ends in a zero; no memory of ours is kept (I9).
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_pthread_cleanup_push".as_ptr()) };
    // SAFETY: the function of that name has had this type in every version of both libraries (I9).
    (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Push>(found) })
}

extern "C" fn ended(_: *mut c_void) {
    if has_begun() {
        stand_still();
    }
}

/// For a thread that must not go on while the process ends.
pub fn stand_still() -> ! {
    loop {
        // SAFETY: no memory is involved (I9).
        unsafe { libc::pause() };
    }
}
