//! What can go wrong with a ring itself. Results of requests are not errors of the ring.

use core::fmt;

use crate::ring::probe::Refusal;
use crate::sys::Errno;

/// Which system call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// io_uring_setup(2)
    Setup,
    /// io_uring_enter(2)
    Enter,
    /// io_uring_register(2)
    Register,
    /// mmap(2) of the ring
    Map,
    /// eventfd(2), which wakes a queue
    EventFd,
    /// pthread_create(3) of a thread that does the work of a ring
    Thread,
}

impl Call {
    /// The name of the system call.
    pub fn name(self) -> &'static str {
        match self {
            Call::Setup => "io_uring_setup",
            Call::Enter => "io_uring_enter",
            Call::Register => "io_uring_register",
            Call::Map => "mmap",
            Call::EventFd => "eventfd",
            Call::Thread => "pthread_create",
        }
    }
}

/// Why the ring could not do what was asked.
#[derive(Clone, Debug)]
pub enum RingError {
    /// A ring of zero entries.
    ZeroEntries,
    /// More entries than the kernel allows.
    TooManyEntries {
        /// What was asked for.
        asked: u32,
        /// The most there can be.
        max: u32,
    },
    /// Flags that cannot go together, or that need something else; says what.
    BadFlags(&'static str),
    /// Setup flags that this library does not know.
    UnknownFlags(u32),
    /// No huge pages for a ring that is to be in some.
    NoHugePages(Errno),
    /// An operation that a ring with polled completions (IOPOLL) does not do.
    NotPolled(&'static str),
    /// A 128-byte entry for a ring whose entries have 64.
    NotWide,
    /// The ring has not been enabled yet.
    Disabled,
    /// The host refuses rings; says why and what helps.
    Refused(Box<Refusal>),
    /// A system call failed.
    Sys(Call, Errno),
    /// The running kernel lacks something this needs.
    Unsupported {
        /// What is missing.
        what: &'static str,
        /// The first kernel that has it.
        since: (u8, u8),
    },
    /// No free submission entry.
    SqFull,
    /// As many requests unfinished as the completion queue can hold.
    InFlightFull {
        /// The bound.
        max: u32,
    },
    /// As many batches unfinished as there can be.
    BatchesFull {
        /// The bound.
        max: u32,
    },
    /// A chain of links that the submission queue cannot hold.
    ChainTooLong {
        /// Entries of the submission queue.
        max: u32,
    },
    /// The ring is closed or closing.
    Closed,
    /// The ring belongs to the parent process.
    Forked,
    /// The ring belongs to another thread.
    WrongThread,
    /// Poll requests do not work on this descriptor; epoll may.
    Unfit(i32, Errno),
    /// The kernel gave back something no request of ours stands for.
    Corrupted(&'static str),
}

impl RingError {
    /// Is the kernel only short of something just now, so that trying again makes sense?
    pub fn passes(&self) -> bool {
        match self {
            RingError::Sys(_, Errno::EAGAIN | Errno::ENOMEM) => true,
            // Completions that found no room must be taken first.
            RingError::Sys(Call::Enter, Errno::EBUSY) => true,
            _ => false,
        }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::ZeroEntries => write!(f, "a ring needs at least one entry"),
            RingError::TooManyEntries { asked, max } => {
                write!(f, "{asked} entries are too many: the kernel allows {max}")
            }
            RingError::BadFlags(why) => write!(f, "{why}"),
            RingError::UnknownFlags(flags) => {
                write!(f, "setup flags {flags:#x} are not known to this library")
            }
            RingError::NoHugePages(errno) => write!(
                f,
                "no huge page is free for the ring ({errno}): /proc/sys/vm/nr_hugepages says how \
                 many there are"
            ),
            RingError::NotPolled(op) => write!(
                f,
                "{op} is not possible on an IOPOLL ring, which only does what can be polled for: \
                 reads and writes, NOP, MSG_RING, URING_CMD and updates of files and buffers"
            ),
            RingError::NotWide => write!(
                f,
                "this request has an entry of 128 bytes: make the ring with SetupFlags.SQE128"
            ),
            RingError::Disabled => write!(f, "the ring is disabled: call enable() first"),
            RingError::Refused(refusal) => write!(f, "{}", refusal.reason),
            RingError::Sys(call, errno) => write!(f, "{}: {errno}", call.name()),
            RingError::Unsupported { what, since } => {
                write!(f, "this kernel has no {what} (it came with Linux {}.{})", since.0, since.1)
            }
            RingError::SqFull => write!(f, "the submission queue is full: submit first"),
            RingError::InFlightFull { max } => write!(
                f,
                "{max} requests are in flight, as many as the completion queue holds: \
                 wait for some, or make the ring with more cq_entries"
            ),
            RingError::BatchesFull { max } => {
                write!(f, "{max} batches are in flight, as many as a ring can have: wait for some")
            }
            RingError::ChainTooLong { max } => write!(
                f,
                "a chain of linked requests must fit into the submission queue ({max} entries)"
            ),
            RingError::Closed => write!(f, "the ring is closed"),
            RingError::Forked => write!(
                f,
                "this ring belongs to the parent process: open one of your own after fork"
            ),
            RingError::WrongThread => write!(f, "this ring belongs to another thread"),
            RingError::Unfit(fd, errno) => {
                write!(f, "descriptor {fd} cannot be waited for with poll requests: {errno}")
            }
            RingError::Corrupted(what) => write!(f, "the ring is corrupted: {what}"),
        }
    }
}

impl std::error::Error for RingError {}
