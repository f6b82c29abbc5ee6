//! What an operation brought back beside its result.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::uring_cmd::OptionValue;
use crate::py::address;
use crate::py::completion::CompletionExtra;
use crate::py::kernel::AnyKernel;
use crate::ring::cq::BigCqe;
use crate::ring::kernel::Kernel;
use crate::sys::os::{SCM_RIGHTS, SOL_SOCKET};

/// What the kernel wrote into memory of ours, copied out of the slot.
pub(crate) enum Results {
    /// The peer of an accepted connection.
    Peer(SockAddr),
    /// What came with a message.
    Message(Message),
    /// A socket's option.
    SocketOption(OptionValue),
    /// The address of a socket or of its peer.
    SocketName(SockAddr),
    /// The rest of a 32-byte completion, and what the operation brought besides.
    Big(BigCqe, Option<Box<Results>>),
}

pub(crate) struct Message {
    sender: SockAddr,
    ancillary: Vec<(i32, i32, Vec<u8>)>,
    flags: i32,
}

impl Results {
    /// What the kernel wrote into `args` for a request that ended with `res`. Only for finished
    /// requests (I2).
    pub(crate) fn of(args: &Args, res: i32) -> Option<Box<Self>> {
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
            Args::SocketOption(option) if res >= 0 => Results::SocketOption(option.value(res)),
            Args::SocketName(name) if res >= 0 => {
                let mut name = **name;
                name.set_len(name.len());
                Results::SocketName(name)
            }
            _ => return None,
        };
        Some(Box::new(results))
    }

    /// The rest of a 32-byte completion.
    #[cold]
    pub(crate) fn big(rest: BigCqe) -> Box<Self> {
        Box::new(Results::Big(rest, None))
    }

    /// The rest of a completion, if it has one, with what its operation brought.
    #[inline(always)]
    pub(crate) fn joined(big: Option<Box<Self>>, brought: Option<Box<Self>>) -> Option<Box<Self>> {
        match big {
            Some(mut big) => {
                if let Results::Big(_, inner) = &mut *big {
                    *inner = brought;
                }
                Some(big)
            }
            None => brought,
        }
    }

    /// What the operation brought, without the rest of the completion.
    fn brought(&self) -> Option<&Self> {
        match self {
            Results::Big(_, inner) => inner.as_deref(),
            other => Some(other),
        }
    }

    /// Nobody will look at it: close what came with it (I10).
    pub(crate) fn abandon(&self, kernel: &AnyKernel) {
        match self {
            Results::Message(message) => message.close_received(kernel),
            Results::SocketOption(OptionValue::Fd(fd)) => {
                // SAFETY: made for this request, and shown to nobody (I10).
                unsafe { kernel.close(*fd) };
            }
            Results::Big(_, Some(inner)) => inner.abandon(kernel),
            Results::Peer(_)
            | Results::SocketOption(_)
            | Results::SocketName(_)
            | Results::Big(_, None) => {}
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
            Results::SocketOption(OptionValue::Int(value) | OptionValue::Fd(value)) => {
                Ok(value.into_pyobject(py)?.into_any().unbind())
            }
            Results::SocketOption(OptionValue::Bytes(value)) => {
                Ok(PyBytes::new(py, value).into_any().unbind())
            }
            Results::SocketName(address) => address::to_python(py, address),
            Results::Big(_, Some(inner)) => inner.value(py),
            Results::Big(_, None) => Ok(py.None()),
        }
    }

    fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Results::Peer(address) => address::to_python(py, address),
            Results::Message(message) => address::to_python(py, &message.sender),
            Results::SocketOption(_) | Results::SocketName(_) => Ok(py.None()),
            Results::Big(_, Some(inner)) => inner.address(py),
            Results::Big(_, None) => Ok(py.None()),
        }
    }

    fn ancdata(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(Results::Message(message)) = self.brought() else {
            return Ok(PyList::empty(py).into());
        };
        let items: Vec<_> = message
            .ancillary
            .iter()
            .map(|(level, kind, data)| (*level, *kind, PyBytes::new(py, data)))
            .collect();
        Ok(items.into_pyobject(py)?.unbind())
    }

    fn msg_flags(&self) -> i32 {
        match self.brought() {
            Some(Results::Message(message)) => message.flags,
            _ => 0,
        }
    }

    fn big_cqe(&self) -> Option<BigCqe> {
        match self {
            Results::Big(rest, _) => Some(*rest),
            _ => None,
        }
    }
}
