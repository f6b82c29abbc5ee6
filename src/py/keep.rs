//! What a request keeps alive: the payload of its slot.
//!
//! Exports sit in the slot itself: a `Py_buffer` may point at itself, and a slot does not move
//! (I1). They are released exactly once, after the terminal completion, with no lock held (I6).

use std::mem::MaybeUninit;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::ops::args::Args;
use crate::py::armed;
use crate::py::direct::{self, Part, Shot};
use crate::py::results::Results;
use crate::py::sqe;
use crate::py::stage::another_ring;
use crate::ring::bufring::Use;
use crate::ring::slots::Zeroed;
use crate::ring::sq::SecondHalf;
use crate::sys::ending::arm_thread;
use crate::sys::os::{c_void, iovec};

/// Everything one request keeps alive. All zeroes is the empty state.
#[repr(C)]
pub(crate) struct Keep {
    /// The caller's user_data; an owned reference, or null.
    token: *mut ffi::PyObject,
    /// A file object, or the `Sqe` that was pushed; an owned reference, or null.
    hold: *mut ffi::PyObject,
    /// The `FixedBuffer` in use; an owned reference, or null.
    fixed: *mut ffi::PyObject,
    more: Option<Box<More>>,
    view: MaybeUninit<ffi::Py_buffer>,
    has_view: bool,
    /// The ring that the request's target or registered buffer belongs to, 0 for any; with [`BIG`] and
    /// [`WIDE`].
    pub(crate) ring_id: u32,
    /// What the builder could not settle by itself: IOSQE_FIXED_FILE when the request is on a direct
    /// descriptor, and [`CHOOSES`].
    pub(crate) special: u8,
    /// Each of its completions brings something, not only the last.
    pub(crate) per_shot: bool,
    /// `hold` is an `Sqe` that was pushed.
    pub(crate) pushed: bool,
    /// `hold` is a direct descriptor, which counts its uses.
    direct: bool,
}

/// In [`Keep::special`]: the kernel chooses a slot of the ring's file table for what is made.
pub(crate) const CHOOSES: u8 = 1 << 7;

/// What only some operations need.
#[derive(Default)]
struct More {
    args: Args,
    /// Boxed one by one: an export must not move when the list grows (I1).
    #[allow(clippy::vec_box)]
    views: Vec<Box<ffi::Py_buffer>>,
    /// Objects held beside the first.
    others: Vec<Py<PyAny>>,
    /// The second half of a 128-byte entry.
    half: Option<Box<SecondHalf>>,
    /// The pool that the kernel chooses buffers from.
    pool: Option<Use>,
    /// What it has to do with direct descriptors, beside the file it is on.
    parts: Vec<Part>,
}

/// In [`Keep::ring_id`] beside the ring: the request has an entry of 128 bytes. Together with the
/// test for another ring's request it costs nothing.
pub(crate) const WIDE: u32 = 1 << 31;

// SAFETY: null pointers, None (a null box), no view: all-zero bytes are the empty value (I1).
unsafe impl Zeroed for Keep {}

/// A buffer's memory.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) addr: u64,
    pub(crate) len: usize,
}

/// Read from it, or write to it?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The kernel reads: any bytes-like object.
    Source,
    /// The kernel writes: a writable one.
    Destination,
}

impl Access {
    fn flags(self) -> std::ffi::c_int {
        match self {
            Access::Source => ffi::PyBUF_SIMPLE,
            Access::Destination => ffi::PyBUF_WRITABLE,
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Keep {
            token: std::ptr::null_mut(),
            hold: std::ptr::null_mut(),
            fixed: std::ptr::null_mut(),
            more: None,
            view: MaybeUninit::zeroed(),
            has_view: false,
            ring_id: 0,
            special: 0,
            per_shot: false,
            pushed: false,
            direct: false,
        }
    }
}

impl Keep {
    /// Export `object`'s memory into this slot. May run Python code: call with no lock held (I6).
    #[inline(always)]
    pub(crate) fn export(&mut self, object: &Bound<'_, PyAny>, access: Access) -> PyResult<Memory> {
        debug_assert!(!self.has_view);
        let view = self.view.as_mut_ptr();
        // SAFETY: `view` stays where it is until released: slots do not move (I1).
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view, access.flags()) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        self.has_view = true;
        // SAFETY: just filled in by the exporter (I5: only the address is taken).
        unsafe { Ok(Memory { addr: (*view).buf as u64, len: (*view).len as usize }) }
    }

    /// Bytes of each item of what was exported; 0 if nothing was.
    pub(crate) fn item_size(&self) -> isize {
        if !self.has_view {
            return 0;
        }
        // SAFETY: `has_view` says that the exporter has filled it in (I5: its numbers only).
        unsafe { self.view.assume_init_ref() }.itemsize
    }

    /// Export one more buffer, beside others.
    pub(crate) fn export_more(
        &mut self,
        object: &Bound<'_, PyAny>,
        access: Access,
    ) -> PyResult<Memory> {
        let mut view = Box::<ffi::Py_buffer>::new_uninit();
        // SAFETY: boxed, so the view stays where it is until released (I1).
        let failed =
            unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), access.flags()) };
        if failed != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: filled in by the exporter (I5).
        let view = unsafe { view.assume_init() };
        let memory = Memory { addr: view.buf as u64, len: view.len as usize };
        self.more().views.push(view);
        Ok(memory)
    }

    /// Export several buffers and list them as vectors.
    pub(crate) fn export_all(
        &mut self,
        objects: &Bound<'_, PyAny>,
        access: Access,
    ) -> PyResult<Vec<iovec>> {
        let mut vectors = Vec::new();
        for object in objects.try_iter()? {
            let object = object?;
            if vectors.len() == IOV_MAX {
                return Err(PyValueError::new_err(format!("more than {IOV_MAX} buffers")));
            }
            let memory = self.export_more(&object, access)?;
            vectors.push(iovec { iov_base: memory.addr as *mut c_void, iov_len: memory.len });
        }
        Ok(vectors)
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_with(Box::default)
    }

    /// Keep memory of ours that the entry points at.
    #[inline(always)]
    pub(crate) fn keep_args(&mut self, args: Args) {
        if !matches!(args, Args::None) {
            self.more().args = args;
        }
    }

    /// The entry has 128 bytes, and this is its second half. To be called after whatever else sets
    /// `ring_id`.
    pub(crate) fn set_second_half(&mut self, half: SecondHalf) {
        self.more().half = Some(Box::new(half));
        self.ring_id |= WIDE;
    }

    /// The second half of a 128-byte entry.
    pub(crate) fn second_half(&self) -> Option<&SecondHalf> {
        self.more.as_ref().and_then(|more| more.half.as_deref())
    }

    /// What the operation's own memory is.
    pub(crate) fn args(&self) -> Option<&Args> {
        self.more.as_ref().map(|more| &more.args)
    }

    /// Make the operation's own memory ready for another request, once the last one has ended (I2).
    pub(crate) fn renew_args(&mut self) {
        if let Some(more) = &mut self.more {
            more.args.renew();
        }
    }

    /// Hold the pool that the kernel chooses buffers from.
    pub(crate) fn use_pool(&mut self, pool: Use) {
        self.more().pool = Some(pool);
    }

    /// The pool that the kernel chooses buffers from.
    pub(crate) fn pool(&self) -> Option<&Use> {
        self.more.as_ref().and_then(|more| more.pool.as_ref())
    }

    /// The same, of a request that is about to be staged or has ended.
    pub(crate) fn pool_mut(&mut self) -> Option<&mut Use> {
        self.more.as_mut().and_then(|more| more.pool.as_mut())
    }

    /// What the kernel wrote into memory of ours, and what else it brought. Only once the request
    /// has ended (I2), or for one whose completions each bring something.
    #[inline(always)]
    pub(crate) fn results(&mut self, py: Python<'_>, res: i32) -> Option<Box<Results>> {
        if let Some(pool) = self.pool_mut() {
            pool.ended(res);
        }
        if self.pushed {
            return sqe::results_of(py, self, res);
        }
        self.more.as_ref().and_then(|more| match more.parts.is_empty() {
            true => Results::of(&more.args, res),
            false => direct::results(py, more.parts.iter(), Some(&more.args), res)
                .or_else(|| Results::of(&more.args, res)),
        })
    }

    /// What each completion needs to bring something. With the ring held: it may be the last look.
    #[cold]
    pub(crate) fn shot(&self) -> Option<Shot> {
        self.parts().find_map(Part::shot)
    }

    /// What it has to do with direct descriptors, beside the file it is on.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.more.iter().flat_map(|more| more.parts.iter())
    }

    /// One more such thing.
    pub(crate) fn add_part(&mut self, part: Part) {
        self.more().parts.push(part);
    }

    /// It can be used on ring `ring_id` only.
    pub(crate) fn bind(&mut self, ring_id: u32) -> PyResult<()> {
        let bound = self.ring_id & !NEEDS;
        if bound != 0 && bound != ring_id {
            return Err(another_ring());
        }
        self.ring_id |= ring_id;
        Ok(())
    }

    /// Hold the direct descriptor that the request is on, whose use was counted.
    pub(crate) fn hold_direct(&mut self, file: &Bound<'_, PyAny>) {
        self.hold_object(file);
        self.direct = true;
    }

    /// Is an object held?
    pub(crate) fn holds(&self) -> bool {
        !self.hold.is_null()
    }

    /// Hold `object` as long as the request is in flight.
    #[inline(always)]
    pub(crate) fn hold_object(&mut self, object: &Bound<'_, PyAny>) {
        debug_assert!(self.hold.is_null());
        self.hold = object.clone().into_ptr();
    }

    /// Hold one more object: an operation on two files or directories has two.
    pub(crate) fn hold_another(&mut self, object: &Bound<'_, PyAny>) {
        if self.hold.is_null() {
            self.hold_object(object);
        } else {
            self.more().others.push(object.clone().unbind());
        }
    }

    /// Hold a registered buffer as long as the request is in flight.
    pub(crate) fn hold_fixed(&mut self, buffer: &Bound<'_, PyAny>) {
        debug_assert!(self.fixed.is_null());
        self.fixed = buffer.clone().into_ptr();
    }

    /// The object held.
    pub(crate) fn held<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: an owned reference or null (I2).
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.hold) }
    }

    /// Remember the caller's user_data.
    #[inline(always)]
    pub(crate) fn set_token(&mut self, token: *mut ffi::PyObject) {
        debug_assert!(self.token.is_null());
        self.token = token;
    }

    /// The caller's user_data: borrowed, or null.
    #[inline(always)]
    pub(crate) fn token(&self) -> *mut ffi::PyObject {
        self.token
    }

    /// Hand the reference to the caller's user_data over.
    #[inline(always)]
    pub(crate) fn take_token(&mut self) -> *mut ffi::PyObject {
        std::mem::replace(&mut self.token, std::ptr::null_mut())
    }

    /// Is there nothing (left) that [`Keep::release`] must let go of?
    #[inline(always)]
    pub(crate) fn is_bare(&self) -> bool {
        !self.has_view && !self.has_rest()
    }

    /// Let go of everything; back to the empty state. May run Python code: no lock held (I6), and
    /// never before the terminal completion (I2).
    #[inline(always)]
    pub(crate) fn release(&mut self, py: Python<'_>) {
        if self.has_view {
            self.has_view = false;
            // SAFETY: filled in by `export` and released once: `has_view` was set (I2).
            unsafe { ffi::PyBuffer_Release(self.view.as_mut_ptr()) };
        }
        self.ring_id = 0;
        (self.special, self.per_shot) = (0, false);
        if self.has_rest() {
            self.release_rest(py);
        }
    }

    #[inline(always)]
    fn has_rest(&self) -> bool {
        !(self.token.is_null()
            && self.hold.is_null()
            && self.fixed.is_null()
            && self.more.is_none())
    }

    #[cold]
    fn release_rest(&mut self, py: Python<'_>) {
        if let Some(mut more) = self.more.take() {
            for view in &mut more.views {
                // SAFETY: filled in by `export_all`, released once: `more` was taken (I2).
                unsafe { ffi::PyBuffer_Release(&raw mut **view) };
            }
        }
        let fixed = std::mem::replace(&mut self.fixed, std::ptr::null_mut());
        // SAFETY: an owned reference or null, taken out of the slot (I2).
        if let Some(buffer) = unsafe { Bound::from_owned_ptr_or_opt(py, fixed) } {
            super::pool::used_no_more(&buffer);
        }
        if std::mem::take(&mut self.pushed) {
            sqe::push_ended(self.held(py));
        }
        if std::mem::take(&mut self.direct) {
            if let Some(file) = self.held(py) {
                direct::used_no_more(&file);
            }
        }
        let hold = std::mem::replace(&mut self.hold, std::ptr::null_mut());
        let token = self.take_token();
        for object in [hold, token] {
            // SAFETY: owned references or null, taken out of the slot, so dropped once (I2).
            unsafe { ffi::Py_XDECREF(object) };
        }
    }
}

/// What a batch will keep alive, while it is put together: let go of when dropped, by whatever way
/// that comes to pass (PyO3 panics for want of memory).
#[derive(Default)]
pub(crate) struct Owner(Option<Box<Keep>>);

impl Owner {
    /// To be filled. Boxed, since exports must not move (I1).
    pub(crate) fn keep(&mut self) -> &mut Keep {
        self.0.get_or_insert_default()
    }

    /// Hand it over to the batch, which has begun.
    pub(crate) fn hand_over(mut self) -> Box<Keep> {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        arm_thread();
        if let Some(mut keep) = self.0.take() {
            armed::last(|py| keep.release(py));
        }
    }
}

/// In [`Keep::ring_id`] beside the ring: its completions must have 32 bytes. Together with the test
/// for another ring's request it costs nothing.
pub(crate) const BIG: u32 = 1 << 30;

/// In [`Keep::ring_id`] beside the ring: the request carries attributes. Kernels that do not know
/// them would leave them out and say nothing.
pub(crate) const ATTRIBUTES: u32 = 1 << 29;

/// What [`Keep::ring_id`] has beside the ring.
pub(crate) const NEEDS: u32 = BIG | WIDE | ATTRIBUTES;

/// UIO_MAXIOV.
pub(crate) const IOV_MAX: usize = 1024;

// SAFETY: raw references that are only touched with the interpreter attached (I6).
unsafe impl Send for Keep {}
// SAFETY: as above.
unsafe impl Sync for Keep {}
