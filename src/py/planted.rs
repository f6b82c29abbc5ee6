//! Mistakes to be made on purpose: of arithmetic in builds with debug checks, of memory in those for
//! a sanitizer, and none in any other. That such a build notices them is tested, or a run that finds
//! nothing would prove nothing.

use std::hint::black_box;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Make the mistake of that name.
#[pyfunction]
pub(crate) fn _plant(mistake: &str) -> PyResult<u64> {
    Ok(match mistake {
        "overflow" => u64::from(black_box(u8::MAX) + black_box(1)),
        "assertion" => {
            debug_assert!(black_box(false), "planted");
            0
        }
        #[cfg(sanitized)]
        "leak" => {
            // Several: the address of the last may still lie about on the stack.
            let lost = |_| black_box(Box::leak(Box::new([black_box(7u64); 32])))[3];
            (0..8).map(lost).sum()
        }
        #[cfg(sanitized)]
        "use after free" => {
            let freed = Box::into_raw(Box::new([black_box(7u64); 32]));
            // SAFETY: none: this is the mistake.
            unsafe {
                drop(Box::from_raw(freed));
                (&raw const (*black_box(freed))[3]).read_volatile()
            }
        }
        #[cfg(sanitized)]
        "overrun" => {
            let short = Box::into_raw(Box::new([black_box(7u64); 4]));
            // SAFETY: none: this is the mistake.
            let beyond = unsafe { black_box(short.cast::<u64>()).add(4).read_volatile() };
            // SAFETY: made from a box above (I1).
            unsafe { drop(Box::from_raw(short)) };
            beyond
        }
        other => return Err(PyValueError::new_err(format!("no such mistake: {other}"))),
    })
}
