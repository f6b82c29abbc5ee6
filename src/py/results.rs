//! What an operation brought back beside its result.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::py::address;
use crate::py::completion::CompletionExtra;
use crate::py::kernel::AnyKernel;
use crate::py::picked::Picked;
use crate::ring::kernel::Kernel;
use crate::sys::os::{SCM_RIGHTS, SOL_SOCKET};

/// What the kernel wrote into memory of ours, copied out of the slot.
pub(crate) enum Results {
    /// The peer of an accepted connection.
    Peer(SockAddr),
    /// What came with a message.
    Message(Message),
    /// Buffers of a pool.
    Picked(Picked),
}

pub(crate) struct Message {
    sender: SockAddr,
    ancillary: Vec<(i32, i32, Vec<u8>)>,
    flags: i32,
}

impl Message {
    /// A message taken apart.
    pub(crate) fn new(sender: SockAddr, ancillary: Vec<(i32, i32, Vec<u8>)>, flags: i32) -> Self {
        Message { sender, ancillary, flags }
    }
}

impl Results {
    /// These, and what else the same completion brought.
    pub(crate) fn with(mut self: Box<Self>, other: Option<Box<Self>>) -> Box<Self> {
        let other = other.map(|other| *other);
        if let (Results::Picked(picked), Some(Results::Message(message))) = (&mut *self, other) {
            picked.message = Some(message);
        }
        self
    }

    /// What came with a message.
    fn message(&self) -> Option<&Message> {
        match self {
            Results::Message(message) => Some(message),
            Results::Picked(picked) => picked.message.as_ref(),
            _ => None,
        }
    }

    /// What the kernel wrote into `args` for a request that ended with `res`. Only for finished
    /// requests (I2).
    pub(crate) fn of(args: &Args, _res: i32) -> Option<Box<Self>> {
        let results = match args {
            Args::Accept(accept) => {
                let mut peer = accept.peer;
                peer.set_len(peer.len());
                Results::Peer(peer)
            }
            Args::Msg(msg) if msg.receives() => Results::Message(Message {
                sender: msg.sender(),
                ancillary: msg.ancillary(),
                flags: msg.flags(),
            }),
            _ => return None,
        };
        Some(Box::new(results))
    }

    /// Nobody will look at it: close what came with it (I10).
    pub(crate) fn abandon(&self, kernel: &AnyKernel) {
        // Buffers go back when they are dropped.
        if let Some(message) = self.message() {
            message.close_received(kernel);
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
            Results::Peer(_) | Results::Message(_) | Results::Picked(_) => Ok(py.None()),
        }
    }

    fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match (self, self.message()) {
            (Results::Peer(address), _) => address::to_python(py, address),
            (_, Some(message)) => address::to_python(py, &message.sender),
            _ => Ok(py.None()),
        }
    }

    fn ancdata(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(message) = self.message() else { return Ok(PyList::empty(py).into()) };
        let items: Vec<_> = message
            .ancillary
            .iter()
            .map(|(level, kind, data)| (*level, *kind, PyBytes::new(py, data)))
            .collect();
        Ok(items.into_pyobject(py)?.unbind())
    }

    fn msg_flags(&self) -> i32 {
        self.message().map_or(0, |message| message.flags)
    }

    fn buffers(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        match self {
            Results::Picked(picked) => picked.buffers(py),
            _ => Ok(Vec::new()),
        }
    }
}
