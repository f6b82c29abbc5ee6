//! The builders, once for `Ring.prep_*` and `Sqe.*`: names, arguments, and what is said of them.
//!
//! Every builder also takes `user_data` (any object, handed back with each completion), `flags`
//! (SqeFlags) and `personality` (of registered credentials, 0 for the ring's own).

use pyo3::prelude::*;

use crate::ops::file;
use crate::ops::file::RwOptions;
use crate::py::pool::{self, PyBufferPool};
use crate::py::ring::PyRing;
use crate::py::sqe::PySqe;
use crate::py::submit::Common;
use crate::py::{build, convert};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[inline(always)]
fn common<'a, 'py>(
    user_data: Option<Any<'a, 'py>>,
    flags: u32,
    personality: u16,
) -> PyResult<Common<'a, 'py>> {
    Ok(Common { user_data, flags: convert::sqe_flags(flags)?, personality })
}

#[inline(always)]
fn rw(rw_flags: u32, ioprio: u16) -> RwOptions {
    RwOptions { rw_flags, ioprio }
}

/// Declares one method for rings and one for entries from the same text.
macro_rules! builders {
    ($(
        $(#[doc = $doc:literal])*
        fn $prep:ident / $name:ident ($($arg:ident: $type:ty),* $(,)?)
            [$($positional:tt)*] [$($keyword:tt)*] = |$keep:ident| $build:expr;
    )*) => {
        #[pymethods]
        impl PyRing {
            $(
                $(#[doc = $doc])*
                #[pyo3(signature = ($($positional)* *, $($keyword)* user_data = None, flags = 0,
                    personality = 0))]
                #[allow(clippy::too_many_arguments)]
                fn $prep(
                    &self,
                    py: Python<'_>,
                    $($arg: $type,)*
                    user_data: Option<&Bound<'_, PyAny>>,
                    flags: u32,
                    personality: u16,
                ) -> PyResult<Py<PyAny>> {
                    self.prep(py, common(user_data, flags, personality)?, |$keep| $build)
                }
            )*
        }

        #[pymethods]
        impl PySqe {
            $(
                $(#[doc = $doc])*
                #[staticmethod]
                #[pyo3(signature = ($($positional)* *, $($keyword)* user_data = None, flags = 0,
                    personality = 0))]
                #[allow(clippy::too_many_arguments)]
                fn $name(
                    py: Python<'_>,
                    $($arg: $type,)*
                    user_data: Option<&Bound<'_, PyAny>>,
                    flags: u32,
                    personality: u16,
                ) -> PyResult<PySqe> {
                    PySqe::build(py, common(user_data, flags, personality)?, |$keep| $build)
                }
            )*
        }
    };
}

// Below the macro, which is known from there on.
mod cancel;
mod direct;
mod files;
mod fixed;
mod net;
mod path;
mod poll;
mod time;

#[pymethods]
impl PyRing {
    /// A pool of page-aligned buffers registered with this ring, for fixed reads and
    /// writes.
    ///
    /// Args:
    ///     count: how many, 1 to 16384.
    ///     size: bytes of each, up to 1 GiB.
    ///
    /// Raises:
    ///     UringError: the kernel refuses, most often for RLIMIT_MEMLOCK.
    ///     ValueError: the ring has a pool already.
    ///
    /// Source: io_uring_register_buffers(3).
    fn buffer_pool(slf: Bound<'_, Self>, count: i64, size: i64) -> PyResult<PyBufferPool> {
        pool::make(&slf, count, size)
    }

    /// Have an eventfd count completions.
    ///
    /// Args:
    ///     file: the eventfd.
    ///     async_only: only those that did not complete during submission.
    ///
    /// Source: io_uring_register_eventfd(3).
    #[pyo3(signature = (file, *, async_only = false))]
    fn register_eventfd(
        &self,
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        async_only: bool,
    ) -> PyResult<()> {
        self.set_eventfd(py, Some(convert::file_number(file)?), async_only)
    }

    /// Undo register_eventfd.
    fn unregister_eventfd(&self, py: Python<'_>) -> PyResult<()> {
        self.set_eventfd(py, None, false)
    }

    /// Do nothing.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_nop(3).
    #[pyo3(signature = (user_data = None, *, flags = 0, personality = 0))]
    fn prep_nop(
        &self,
        py: Python<'_>,
        user_data: Option<&Bound<'_, PyAny>>,
        flags: u32,
        personality: u16,
    ) -> PyResult<Py<PyAny>> {
        self.prep(py, common(user_data, flags, personality)?, |_| Ok(file::nop()))
    }
}

#[pymethods]
impl PySqe {
    /// Do nothing. See `Ring.prep_nop`.
    #[staticmethod]
    #[pyo3(signature = (user_data = None, *, flags = 0, personality = 0))]
    fn nop(
        py: Python<'_>,
        user_data: Option<&Bound<'_, PyAny>>,
        flags: u32,
        personality: u16,
    ) -> PyResult<PySqe> {
        PySqe::build(py, common(user_data, flags, personality)?, |_| Ok(file::nop()))
    }
}
