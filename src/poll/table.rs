//! What is known of each descriptor: what somebody waits for, and which request is in flight.
//!
//! Found by the descriptor's number, in pages, so that a high number costs no more memory than its
//! neighbours do.

use crate::ring::slots::Kind;
use crate::sys::readiness::FileIdentity;

const PAGE: usize = 256;

/// Numbers from here on do not fit into a key. Linux gives out fewer (fs.nr_open).
pub(super) const FD_MAX: i32 = 1 << 24;

/// In one of the lists of what is to be looked at.
pub(super) const QUEUED: u8 = 1 << 0;
/// Found ready without waiting again and again: ask poll(2) before arming.
pub(super) const HOT: u8 = 1 << 1;
/// Its request ended: ask poll(2) what is true of it now.
pub(super) const WOKEN: u8 = 1 << 2;
/// Watched by a multishot request, as a one-shot one would end at once for what nobody asked for.
pub(super) const MULTI: u8 = 1 << 3;
/// Closed: never reported again, as epoll would not.
pub(super) const GONE: u8 = 1 << 4;
/// Made hot after a wait; see `PollSet::promote`.
pub(super) const TRIED: u8 = 1 << 5;

/// A descriptor's entry. All zeroes: not registered, never was.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry {
    /// Of the request that was armed last; goes up with each.
    pub(super) generation: u32,
    /// The call of `select` that armed it.
    pub(super) armed_in: u32,
    /// The call of `select` that reported the descriptor last.
    pub(super) reported_in: u32,
    /// READ and WRITE as registered; 0 if it is not.
    pub(super) want: u8,
    /// What the request in flight waits for; 0 if there is none.
    pub(super) armed: u8,
    pub(super) state: u8,
}

impl Entry {
    pub(super) fn key(&self, fd: i32) -> u64 {
        u64::from(self.generation) << 32 | (fd as u64) << 8 | Kind::Poll as u64
    }
}

/// The descriptor and the generation that a key names, if it is a poll request's.
pub(super) fn of_key(key: u64) -> Option<(i32, u32)> {
    let poll = key & 0xff == Kind::Poll as u64;
    poll.then_some(((key >> 8 & 0xff_ffff) as i32, (key >> 32) as u32))
}

struct Page {
    entries: [Entry; PAGE],
    files: [FileIdentity; PAGE],
}

#[derive(Default)]
pub(super) struct Table {
    pages: Vec<Option<Box<Page>>>,
}

impl Table {
    #[inline]
    pub(super) fn get_mut(&mut self, fd: i32) -> Option<&mut Entry> {
        let fd = usize::try_from(fd).ok()?;
        let page = self.pages.get_mut(fd / PAGE)?.as_mut()?;
        Some(&mut page.entries[fd % PAGE])
    }

    /// The file that `fd` was when it was registered.
    pub(super) fn file(&self, fd: i32) -> Option<FileIdentity> {
        let fd = usize::try_from(fd).ok()?;
        Some(self.pages.get(fd / PAGE)?.as_ref()?.files[fd % PAGE])
    }

    /// The entry of `fd`, made if need be, of which `file` is the file from now on.
    pub(super) fn entry(&mut self, fd: i32, file: FileIdentity) -> &mut Entry {
        let fd = fd as usize;
        if self.pages.len() <= fd / PAGE {
            self.pages.resize_with(fd / PAGE + 1, || None);
        }
        let page = self.pages[fd / PAGE].get_or_insert_with(|| {
            Box::new(Page { entries: [Entry::default(); PAGE], files: [file; PAGE] })
        });
        page.files[fd % PAGE] = file;
        &mut page.entries[fd % PAGE]
    }

    /// Every registered descriptor with its entry.
    pub(super) fn registered(&mut self) -> impl Iterator<Item = (i32, &mut Entry)> {
        self.pages.iter_mut().enumerate().flat_map(|(number, page)| {
            let entries = page.iter_mut().flat_map(|page| page.entries.iter_mut());
            let numbered = entries.enumerate().map(move |(at, each)| (number * PAGE + at, each));
            numbered.filter(|(_, each)| each.want != 0).map(|(fd, each)| (fd as i32, each))
        })
    }
}
