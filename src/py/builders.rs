//! The builders, once for `Ring.prep_*` and `Sqe.*`: names, arguments, and what is said of them.
//!
//! Every builder also takes `user_data` (any object, handed back with each completion), `flags`
//! (SqeFlags) and `personality` (a Personality or its number, 0 for the ring's own credentials).

use pyo3::prelude::*;

use crate::ops::file::RwOptions;
use crate::py::pool::{self, PyBufferPool};
use crate::py::register::personality::{credentials, Credentials};
use crate::py::ring::PyRing;
use crate::py::sqe::PySqe;
use crate::py::stage::Common;
use crate::py::{build, convert};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[inline(always)]
fn common<'a, 'py>(
    user_data: Option<Any<'a, 'py>>,
    flags: u32,
    personality: Credentials,
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
                    #[pyo3(from_py_with = credentials)] personality: Credentials,
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
                    #[pyo3(from_py_with = credentials)] personality: Credentials,
                ) -> PyResult<PySqe> {
                    PySqe::build(py, common(user_data, flags, personality)?, |$keep| $build)
                }
            )*
        }
    };
}

// Below the macro, which is known from there on.
mod attrs;
mod cancel;
mod commands;
mod direct;
mod files;
mod fixed;
mod futex;
mod integrity;
mod message;
mod net;
mod nop;
mod path;
mod poll;
mod process;
mod provided;
pub(crate) mod sends;
pub(crate) mod sockets;
mod space;
mod splice;
mod stat;
mod time;
mod wide;
mod zcrx;

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

    /// Have an eventfd count completions, so that whoever watches it (epoll, another thread) need
    /// not watch the ring. One eventfd for a ring; its counter says that there was something, not
    /// how many. Where the ring belongs to one thread, completions that the kernel holds back until
    /// that thread looks are signalled when they are ready, and can be had then.
    ///
    /// Args:
    ///     file: the eventfd; closing it afterwards is harmless.
    ///     async_only: only completions that a worker thread of the kernel has posted. What
    ///         completes during submission is not signalled, and neither is what completes when a
    ///         file becomes ready: of reads and writes mostly those of files, never those of
    ///         sockets and pipes. Sound only for who looks at the ring after each submit() anyway.
    ///
    /// Raises:
    ///     UringError: EBUSY while one is registered, EINVAL for what is no eventfd.
    ///
    /// Kernel: 5.2, async_only 5.6.
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
    ///
    /// Raises:
    ///     UringError: ENXIO when none is registered.
    ///
    /// Kernel: 5.2.
    /// Source: io_uring_unregister_eventfd(3).
    fn unregister_eventfd(&self, py: Python<'_>) -> PyResult<()> {
        self.set_eventfd(py, None, false)
    }

    /// Whether completions signal the registered eventfd. Set to False, none does until this is
    /// True again; it takes no system call, and nothing makes up for what was not signalled.
    ///
    /// A completion that is on its way meanwhile may be signalled or not. The value is kept without
    /// an eventfd too.
    ///
    /// Raises:
    ///     UnsupportedOperation: set to False on a kernel that always signals.
    ///
    /// Kernel: 5.8 to set it to False.
    /// Source: io_uring_cq_eventfd_toggle(3), io_uring_cq_eventfd_enabled(3).
    #[getter]
    fn cq_eventfd_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.core.cq().eventfd_enabled())
    }

    #[setter]
    fn set_cq_eventfd_enabled(&self, py: Python<'_>, enabled: bool) -> PyResult<()> {
        self.check_open(py)?;
        let done = self.hold(py)?.core.cq().enable_eventfd(enabled);
        let what = "switch for the eventfd";
        let error = crate::ring::error::RingError::Unsupported { what, since: (5, 8) };
        done.then_some(()).ok_or_else(|| self.error(py, &error))
    }
}
