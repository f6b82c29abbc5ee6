//! The fault plan: which calls fail and how, which requests end otherwise than they should, and
//! how the kernel misbehaves.

use std::collections::BTreeMap;

use crate::sys::Errno;

/// The kinds of call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// io_uring_setup(2).
    Setup,
    /// io_uring_enter(2).
    Enter,
    /// io_uring_register(2).
    Register,
    /// mmap(2) of a ring.
    Map,
    /// A plain system call on a file. `ShortSubmit` bounds the bytes it moves.
    Plain,
    /// A system call that only asks, or sets what is no file's content: fstat(2), ppoll(2),
    /// eventfd(2), fchmod(2), fcntl(2).
    Ask,
    /// munmap(2) of a ring. Nobody is told what it says, so it is counted only.
    Unmap,
    /// close(2) of a ring or of a file that was only read; counted only, as above.
    Close,
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its kind.
    pub call: Call,
    /// Its number among those of its kind.
    pub nth: u64,
    /// The system call's name.
    pub name: &'static str,
    /// IORING_REGISTER_*, of io_uring_register(2).
    pub opcode: u32,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It fails and does nothing.
    Err(Errno),
    /// Enter takes at most so many entries, and as the kernel does then, does not wait. Taking
    /// none is EAGAIN.
    ShortSubmit(u32),
    /// A signal ends the wait of this enter: EINTR, or the count of entries it took.
    Interrupt,
    /// The wait of this enter ends early with what there is.
    WakeEarly,
}

/// One planned fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of call.
    pub call: Call,
    /// Which one: 0 is the next of its kind after planning.
    pub nth: u64,
    /// What happens to it.
    pub action: Action,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestAction {
    /// A negative number: it is not carried out and ends with that. Otherwise it transfers at most
    /// so many bytes (a short read or write); an operation that transfers nothing ends with that.
    Result(i32),
    /// It is carried out, but its completion claims this result, however absurd.
    Lie(i32),
    /// Its last completion comes so many virtual nanoseconds late; not that of a cancellation.
    Late(u64),
    /// Its last completion comes twice.
    Twice,
    /// A completion with F_MORE comes after its last one.
    MoreAfterEnd,
    /// Before its last completion comes one with this user_data, which nobody asked for.
    Stranger(u64),
    /// Its last completion carries these flags besides (an invented buffer id, say).
    Flags(u32),
    /// Its last completion is lost for want of memory: the overflow counter goes up, and the next
    /// wait says EBADR.
    Lost,
}

/// One planned fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFault {
    /// Which request: 0 is the next one the kernel takes after planning.
    pub nth: u64,
    /// What happens to it.
    pub action: RequestAction,
}

/// A list of faults, planned together.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// Faults of calls.
    pub calls: Vec<Fault>,
    /// Faults of requests.
    pub requests: Vec<RequestFault>,
}

/// What is planned and has not happened yet, by absolute number.
#[derive(Default)]
pub(super) struct Pending {
    calls: BTreeMap<(Call, u64), Action>,
    made: BTreeMap<Call, u64>,
    requests: BTreeMap<u64, RequestAction>,
    taken: u64,
    /// Every call, if that is wanted.
    log: Option<Vec<Made>>,
}

impl Pending {
    pub(super) fn plan(&mut self, plan: &FaultPlan) {
        for fault in &plan.calls {
            let next = self.made.get(&fault.call).copied().unwrap_or(0);
            self.calls.insert((fault.call, next + fault.nth), fault.action);
        }
        for fault in &plan.requests {
            self.requests.insert(self.taken + fault.nth, fault.action);
        }
    }

    /// Keep a list of every call from now on.
    pub(super) fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    pub(super) fn log(&self) -> &[Made] {
        self.log.as_deref().unwrap_or_default()
    }

    /// Count a call; what shall happen to it?
    pub(super) fn call(&mut self, call: Call, name: &'static str) -> Option<Action> {
        self.call_with(call, name, 0)
    }

    /// The same, of a call that has operations of its own.
    pub(super) fn call_with(
        &mut self,
        call: Call,
        name: &'static str,
        opcode: u32,
    ) -> Option<Action> {
        let made = self.made.entry(call).or_default();
        let nth = *made;
        *made += 1;
        if let Some(log) = &mut self.log {
            log.push(Made { call, nth, name, opcode });
        }
        self.calls.remove(&(call, nth))
    }

    /// Count a request; what shall happen to it?
    pub(super) fn request(&mut self) -> Option<RequestAction> {
        let nth = self.taken;
        self.taken += 1;
        self.requests.remove(&nth)
    }

    pub(super) fn calls_made(&self, call: Call) -> u64 {
        self.made.get(&call).copied().unwrap_or(0)
    }

    pub(super) fn requests_taken(&self) -> u64 {
        self.taken
    }

    /// How many planned faults have not happened.
    pub(super) fn left(&self) -> usize {
        self.calls.len() + self.requests.len()
    }
}
