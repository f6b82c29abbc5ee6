//! Polling of network devices while waiting (NAPI).

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::convert::nanoseconds;
use crate::py::ring::PyRing;
use crate::sys::abi::io_uring_napi;
use crate::sys::consts::*;

/// What the kernel had set, as the caller may pass it again.
fn settings<'py>(py: Python<'py>, napi: &io_uring_napi) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("busy_poll", f64::from(napi.busy_poll_to) / 1e6)?;
    fields.set_item("prefer_busy_poll", napi.prefer_busy_poll != 0)?;
    fields.set_item("tracking", tracking_name(napi.op_param))?;
    py.import("uring_rs.kernel_info")?.getattr("NapiSettings")?.call((), Some(&fields))
}

fn tracking_name(tracking: u32) -> &'static str {
    match tracking {
        IO_URING_NAPI_TRACKING_STATIC => "static",
        IO_URING_NAPI_TRACKING_INACTIVE => "inactive",
        _ => "dynamic",
    }
}

fn tracking_number(name: &str) -> PyResult<u32> {
    match name {
        "dynamic" => Ok(IO_URING_NAPI_TRACKING_DYNAMIC),
        "static" => Ok(IO_URING_NAPI_TRACKING_STATIC),
        "inactive" => Ok(IO_URING_NAPI_TRACKING_INACTIVE),
        other => Err(PyValueError::new_err(format!(
            "tracking must be 'dynamic', 'static' or 'inactive', not {other:?}"
        ))),
    }
}

#[pymethods]
impl PyRing {
    /// Have waits poll the network devices of the sockets in use, instead of sleeping until they
    /// interrupt: less latency for more work of the processor.
    ///
    /// Args:
    ///     busy_poll: seconds to poll before sleeping; the kernel takes at most 0.01.
    ///     prefer_busy_poll: keep the devices' interrupts off meanwhile.
    ///     tracking: 'dynamic' (the kernel finds the queues by the sockets used), 'static' (those of
    ///         add_napi_id(); Linux 6.13) or 'inactive', which is as unregister_napi().
    ///
    /// Returns: the NapiSettings of before.
    ///
    /// Raises:
    ///     UringError: EOPNOTSUPP for a kernel built without it, EINVAL for an IOPOLL ring.
    ///
    /// Kernel: 6.9.
    /// Source: io_uring_register_napi(3).
    #[pyo3(signature = (busy_poll, *, prefer_busy_poll = false, tracking = "dynamic"))]
    fn register_napi<'py>(
        &self,
        py: Python<'py>,
        busy_poll: &Bound<'py, PyAny>,
        prefer_busy_poll: bool,
        tracking: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let micros = nanoseconds(busy_poll)?.div_ceil(1000);
        let op_param = tracking_number(tracking)?;
        if op_param == IO_URING_NAPI_TRACKING_INACTIVE {
            return self.unregister_napi(py);
        }
        let mut napi = io_uring_napi {
            busy_poll_to: u32::try_from(micros).unwrap_or(u32::MAX),
            prefer_busy_poll: prefer_busy_poll.into(),
            opcode: IO_URING_NAPI_REGISTER_OP,
            op_param,
            ..Default::default()
        };
        self.with_core(py, |state| {
            state.core.set_napi(&mut napi)?;
            state.napi_tracking = op_param;
            Ok(())
        })?;
        settings(py, &napi)
    }

    /// Undo register_napi. Returns the NapiSettings of before.
    ///
    /// Kernel: 6.9.
    /// Source: io_uring_unregister_napi(3).
    fn unregister_napi<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let napi = self.with_core(py, |state| {
            let napi = state.core.unset_napi()?;
            // All but this the kernel tells.
            let op_param =
                std::mem::replace(&mut state.napi_tracking, IO_URING_NAPI_TRACKING_INACTIVE);
            Ok(io_uring_napi { op_param, ..napi })
        })?;
        settings(py, &napi)
    }

    /// With 'static' tracking: poll the queue that has this NAPI id too.
    ///
    /// Args:
    ///     napi_id: as getsockopt(SO_INCOMING_NAPI_ID) tells it.
    ///
    /// Kernel: 6.13.
    /// Source: io_uring_register_napi(3).
    #[pyo3(signature = (napi_id, /))]
    fn add_napi_id(&self, py: Python<'_>, napi_id: u32) -> PyResult<()> {
        self.change_napi_id(py, IO_URING_NAPI_STATIC_ADD_ID, napi_id)
    }

    /// With 'static' tracking: poll that queue no more.
    ///
    /// Kernel: 6.13.
    /// Source: io_uring_register_napi(3).
    #[pyo3(signature = (napi_id, /))]
    fn remove_napi_id(&self, py: Python<'_>, napi_id: u32) -> PyResult<()> {
        self.change_napi_id(py, IO_URING_NAPI_STATIC_DEL_ID, napi_id)
    }
}

impl PyRing {
    fn change_napi_id(&self, py: Python<'_>, opcode: u8, op_param: u32) -> PyResult<()> {
        let mut napi = io_uring_napi { opcode, op_param, ..Default::default() };
        self.with_core(py, |state| state.core.set_napi(&mut napi))
    }
}
