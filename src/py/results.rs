//! What an operation brought back beside its result.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::pipe::PipeEnds;
use crate::ops::uring_cmd::OptionValue;
use crate::ops::waitid::{self, Child};
use crate::py::address;
use crate::py::completion::CompletionExtra;
use crate::py::direct::Brought;
use crate::py::kernel::AnyKernel;
use crate::py::picked::Picked;
use crate::py::statx::PyStatxResult;
use crate::ring::cq::BigCqe;
use crate::ring::kernel::Kernel;
use crate::sys::abi::statx as Statx;
use crate::sys::os::{SCM_RIGHTS, SOL_SOCKET};

/// What the kernel wrote into memory of ours, copied out of the slot.
pub(crate) enum Results {
    /// The peer of an accepted connection.
    Peer(SockAddr),
    /// What came with a message.
    Message(Message),
    /// What became of a child process.
    Child(Child),
    /// A new pipe, until somebody asks for it.
    Pipe(Mutex<Pipe>),
    /// Events of an epoll set: data, and what is ready.
    Events(Vec<(u64, u32)>),
    /// What is known of a file.
    Stat(Box<Statx>),
    /// The bytes asked for.
    Bytes(Vec<u8>),
    /// A socket's option.
    SocketOption(OptionValue),
    /// The address of a socket or of its peer.
    SocketName(SockAddr),
    /// The rest of a 32-byte completion, and what the operation brought besides.
    Big(BigCqe, Option<Box<Results>>),
    /// Buffers of a pool.
    Picked(Picked),
    /// Direct descriptors, and the peer of an accepted one. They close themselves when dropped.
    Direct { files: Brought, peer: Option<SockAddr> },
}

/// A pipe that nobody has asked for is closed with its completion (I10).
pub(crate) enum Pipe {
    Ours(PipeEnds),
    Theirs([i32; 2]),
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
    #[cold]
    fn with(mut self: Box<Self>, other: Option<Box<Self>>) -> Box<Self> {
        match &mut *self {
            Results::Big(_, inner) => *inner = Results::joined(inner.take(), other),
            Results::Picked(picked) => {
                if let Some(Results::Message(message)) = other.map(|other| *other) {
                    picked.message = Some(message);
                }
            }
            _ => {}
        }
        self
    }

    /// What came with a message.
    fn message(&self) -> Option<&Message> {
        match self {
            Results::Message(message) => Some(message),
            Results::Picked(picked) => picked.message.as_ref(),
            Results::Big(_, inner) => inner.as_deref().and_then(Results::message),
            _ => None,
        }
    }

    /// What the kernel wrote into `args` for a request that ended with `res`. Only for finished
    /// requests (I2).
    pub(crate) fn of(args: &Args, res: i32) -> Option<Box<Self>> {
        let results = match args {
            Args::Accept(accept) => Results::Peer(accept.peer_written()),
            Args::Msg(msg) if msg.receives() => Results::Message(Message {
                sender: msg.sender(),
                ancillary: msg.ancillary(),
                flags: msg.flags(),
            }),
            Args::Waitid(info) if res == 0 => Results::Child(waitid::child(info)?),
            Args::Pipe(ends) if res == 0 => Results::Pipe(Mutex::new(Pipe::Ours(ends.take()?))),
            // No more than there is room for, whatever the kernel says.
            Args::EpollWait(events) if res >= 0 => Results::Events(
                events.iter().take(res as usize).map(|event| (event.u64, event.events)).collect(),
            ),
            Args::Statx(statx) if res >= 0 => Results::Stat(Box::new(*statx.answer())),
            Args::Xattr(xattr) => Results::Bytes(xattr.value(res)?.to_vec()),
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
    pub(crate) fn big(rest: BigCqe, picked: Option<Box<Self>>) -> Box<Self> {
        Box::new(Results::Big(rest, picked))
    }

    /// What came with the completion itself, with what its operation brought.
    #[inline(always)]
    pub(crate) fn joined(came: Option<Box<Self>>, brought: Option<Box<Self>>) -> Option<Box<Self>> {
        match came {
            None => brought,
            Some(came) => Some(came.with(brought)),
        }
    }

    /// Is `res` a slot, or something else that is no descriptor of the process?
    pub(crate) fn res_is_no_fd(&self) -> bool {
        match self {
            Results::Direct { .. } => true,
            Results::Big(_, Some(inner)) => inner.res_is_no_fd(),
            _ => false,
        }
    }

    /// Nobody will look at it: close what came with it (I10).
    pub(crate) fn abandon(&self, kernel: &AnyKernel) {
        // A pipe nobody asked for is closed when dropped, and buffers go back then.
        match self {
            Results::SocketOption(OptionValue::Fd(fd)) => {
                // SAFETY: made for this request, and shown to nobody (I10).
                unsafe { kernel.close(*fd) };
            }
            Results::Big(_, Some(inner)) => inner.abandon(kernel),
            other => {
                if let Some(message) = other.message() {
                    message.close_received(kernel);
                }
            }
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

/// What os.waitid gives.
fn child_to_python(py: Python<'_>, child: &Child) -> PyResult<Py<PyAny>> {
    let Child { pid, uid, signo, status, code } = *child;
    let class = py.import("os")?.getattr("waitid_result")?;
    Ok(class.call1(((pid, uid, signo, status, code),))?.unbind())
}

/// The ends of a pipe as (read, write): from now on whoever asked is to close them.
fn claim(pipe: &Mutex<Pipe>) -> (i32, i32) {
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    if let Pipe::Ours(ends) = &mut *pipe {
        *pipe = Pipe::Theirs(std::mem::take(ends).into_numbers());
    }
    match *pipe {
        Pipe::Theirs([read, write]) => (read, write),
        Pipe::Ours(_) => (-1, -1),
    }
}

impl CompletionExtra for Results {
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Results::Child(child) => child_to_python(py, child),
            Results::Pipe(pipe) => Ok(claim(pipe).into_pyobject(py)?.into_any().unbind()),
            Results::Events(events) => Ok(PyList::new(py, events)?.into_any().unbind()),
            Results::Peer(_) | Results::Message(_) | Results::Picked(_) => Ok(py.None()),
            Results::Stat(answer) => Ok(Py::new(py, PyStatxResult::from(**answer))?.into_any()),
            Results::Bytes(bytes) => Ok(PyBytes::new(py, bytes).into_any().unbind()),
            Results::SocketOption(OptionValue::Int(value) | OptionValue::Fd(value)) => {
                Ok(value.into_pyobject(py)?.into_any().unbind())
            }
            Results::SocketOption(OptionValue::Bytes(value)) => {
                Ok(PyBytes::new(py, value).into_any().unbind())
            }
            Results::SocketName(address) => address::to_python(py, address),
            Results::Big(_, Some(inner)) => inner.value(py),
            Results::Big(_, None) => Ok(py.None()),
            Results::Direct { files, .. } => files.value(py),
        }
    }

    fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match (self, self.message()) {
            (Results::Peer(address), _) => address::to_python(py, address),
            (_, Some(message)) => address::to_python(py, &message.sender),
            (Results::Big(_, Some(inner)), _) => inner.address(py),
            (Results::Direct { peer: Some(peer), .. }, _) => address::to_python(py, peer),
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

    fn big_cqe(&self) -> Option<BigCqe> {
        match self {
            Results::Big(rest, _) => Some(*rest),
            _ => None,
        }
    }

    fn buffers(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        match self {
            Results::Picked(picked) => picked.buffers(py),
            Results::Big(_, Some(inner)) => inner.buffers(py),
            _ => Ok(Vec::new()),
        }
    }
}
