//! What an operation brought back beside its result.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::py::address;
use crate::py::completion::CompletionExtra;
use crate::py::direct::Brought;
use crate::py::kernel::AnyKernel;
use crate::ring::kernel::Kernel;
use crate::sys::os::{SCM_RIGHTS, SOL_SOCKET};

/// What the kernel wrote into memory of ours, copied out of the slot.
pub(crate) enum Results {
    /// The peer of an accepted connection.
    Peer(SockAddr),
    /// What came with a message.
    Message(Message),
    /// Direct descriptors, and the peer of an accepted one. They close themselves when dropped.
    Direct { files: Brought, peer: Option<SockAddr> },
}

pub(crate) struct Message {
    sender: SockAddr,
    ancillary: Vec<(i32, i32, Vec<u8>)>,
    flags: i32,
}

impl Results {
    /// What the kernel wrote into `args` for a request that ended with `res`. Only for finished
    /// requests (I2).
    pub(crate) fn of(args: &Args, _res: i32) -> Option<Box<Self>> {
        let results = match args {
            Args::Accept(accept) => Results::Peer(accept.peer_written()),
            Args::Msg(msg) if msg.receives() => Results::Message(Message {
                sender: msg.sender(),
                ancillary: msg.ancillary(),
                flags: msg.flags(),
            }),
            _ => return None,
        };
        Some(Box::new(results))
    }

    /// Is `res` a slot, or something else that is no descriptor of the process?
    pub(crate) fn res_is_no_fd(&self) -> bool {
        matches!(self, Results::Direct { .. })
    }

    /// Nobody will look at it: close what came with it (I10).
    pub(crate) fn abandon(&self, kernel: &AnyKernel) {
        match self {
            Results::Message(message) => message.close_received(kernel),
            Results::Peer(_) | Results::Direct { .. } => {}
        }
    }
}

impl Message {
    /// Close the descriptors that came with it.
    fn close_received(&self, kernel: &AnyKernel) {
        let rights = self
            .ancillary
            .iter()
            .filter(|(level, kind, _)| (*level, *kind) == (SOL_SOCKET, SCM_RIGHTS));
        for (_, _, data) in rights {
            for bytes in data.chunks_exact(size_of::<i32>()) {
                let Ok(bytes) = bytes.try_into() else { continue };
                // SAFETY: received by this process, and shown to nobody (I10).
                unsafe { kernel.close(i32::from_ne_bytes(bytes)) };
            }
        }
    }
}

impl CompletionExtra for Results {
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Results::Peer(_) | Results::Message(_) => Ok(py.None()),
            Results::Direct { files, .. } => files.value(py),
        }
    }

    fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Results::Peer(address) => address::to_python(py, address),
            Results::Message(message) => address::to_python(py, &message.sender),
            Results::Direct { peer: Some(peer), .. } => address::to_python(py, peer),
            Results::Direct { peer: None, .. } => Ok(py.None()),
        }
    }

    fn ancdata(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Results::Message(message) = self else { return Ok(PyList::empty(py).into()) };
        let items: Vec<_> = message
            .ancillary
            .iter()
            .map(|(level, kind, data)| (*level, *kind, PyBytes::new(py, data)))
            .collect();
        Ok(items.into_pyobject(py)?.unbind())
    }

    fn msg_flags(&self) -> i32 {
        match self {
            Results::Message(message) => message.flags,
            Results::Peer(_) | Results::Direct { .. } => 0,
        }
    }
}
