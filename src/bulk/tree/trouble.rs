//! What can go wrong with one file, and how it is told.

use crate::sys::Errno;

/// Which file of the two an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What is copied.
    Source,
    /// What is being made.
    Target,
    /// The call had both, and does not say.
    Both,
}

/// A system call that failed, without the names, which are made up only when they are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The error.
    pub errno: Errno,
    /// Whose.
    pub side: Side,
    /// What is wrong, where the kernel's text would not say it.
    pub why: Option<&'static str>,
}

/// Why work on one file ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The whole job is to stop.
    Stopped,
    /// This file failed.
    Fault(Fault),
}

/// An error with the names of the files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The error.
    pub errno: Errno,
    /// What is wrong, where the kernel's text would not say it.
    pub why: Option<&'static str>,
    /// The file it is about.
    pub path: Vec<u8>,
    /// The other one, where it may as well be about that.
    pub other: Option<Vec<u8>>,
}

/// A rule of ours that was broken, rather than one of the kernel's.
pub fn refuse<T>(errno: Errno, side: Side, why: &'static str) -> Result<T, Trouble> {
    Err(Trouble::Fault(Fault { errno, side, why: Some(why) }))
}

/// Say whose error it is.
pub trait Whose<T> {
    /// That of what is copied.
    fn source(self) -> Result<T, Trouble>;
    /// That of what is made.
    fn target(self) -> Result<T, Trouble>;
    /// Either's.
    fn both(self) -> Result<T, Trouble>;
}

impl<T> Whose<T> for Result<T, Errno> {
    fn source(self) -> Result<T, Trouble> {
        self.map_err(|errno| fault(errno, Side::Source))
    }

    fn target(self) -> Result<T, Trouble> {
        self.map_err(|errno| fault(errno, Side::Target))
    }

    fn both(self) -> Result<T, Trouble> {
        self.map_err(|errno| fault(errno, Side::Both))
    }
}

fn fault(errno: Errno, side: Side) -> Trouble {
    Trouble::Fault(Fault { errno, side, why: None })
}
