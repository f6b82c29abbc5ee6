//! What a request has to do with direct descriptors: those it uses, makes, places and closes.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::py::convert;
use crate::py::direct::{refused, FileCore, PyDirectFile};
use crate::py::keep::{Keep, CHOOSES};
use crate::py::results::Results;
use crate::py::ring::PyRing;
use crate::py::stage::another_ring;
use crate::ring::error::RingError;
use crate::ring::files::{Handle, Refusal, Update};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::opcode;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// A use of a slot, until dropped. Drop it with the ring not held (I6).
pub(crate) struct InUse {
    core: Arc<FileCore>,
    handle: Handle,
}

impl InUse {
    pub(super) fn of(file: &PyDirectFile) -> PyResult<Self> {
        file.core.enter(file.handle)?;
        Ok(InUse { core: Arc::clone(&file.core), handle: file.handle })
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.core.leave(self.handle);
    }
}

/// A request that has the kernel choose slots, until dropped.
pub(crate) struct Choosing(Arc<FileCore>);

impl Choosing {
    pub(super) fn of(core: Arc<FileCore>) -> PyResult<Self> {
        let begun = {
            let mut files = core.files();
            match core.is_gone() {
                true => Err(Refusal::Gone),
                false => files.begin_choosing(),
            }
        };
        begun.map_err(refused)?;
        Ok(Choosing(core))
    }
}

impl Drop for Choosing {
    fn drop(&mut self) {
        if !self.0.is_gone() {
            self.0.files().end_choosing();
        }
    }
}

/// A request that empties a slot.
pub(crate) struct Closing {
    file: InUse,
    settled: AtomicBool,
}

impl Closing {
    pub(super) fn of(file: &PyDirectFile) -> PyResult<Self> {
        let file = InUse::of(file)?;
        let begun = file.core.files().begin_close(file.handle);
        begun.map_err(|refusal| match refusal {
            Refusal::InUse(_) => PyValueError::new_err(
                "a request or an Sqe uses this direct descriptor: its close() waits for them",
            ),
            other => refused(other),
        })?;
        Ok(Closing { file, settled: AtomicBool::new(false) })
    }

    fn settle(&self, done: bool) {
        if !self.settled.swap(true, Ordering::AcqRel) && !self.file.core.is_gone() {
            self.file.core.files().end_close(self.file.handle, done);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Taken back, or never staged.
        self.settle(false);
    }
}

/// An update of slots that is under way.
pub(crate) struct Updating {
    core: Arc<FileCore>,
    slots: Range<u32>,
    new: Vec<Update>,
    settled: AtomicBool,
}

impl Updating {
    pub(super) fn of(core: &Arc<FileCore>, start: u32, fds: &[i32]) -> PyResult<Self> {
        let end = u32::try_from(fds.len()).ok().and_then(|count| start.checked_add(count));
        let slots = start..end.unwrap_or(u32::MAX);
        let begun = {
            let mut files = core.files();
            match core.is_gone() {
                true => Err(Refusal::Gone),
                false => files.begin_update(slots.clone()),
            }
        };
        begun.map_err(refused)?;
        let new = fds.iter().map(|fd| match *fd {
            -1 => Update::Empty,
            IORING_REGISTER_FILES_SKIP => Update::Skip,
            _ => Update::Fill,
        });
        let new = new.collect();
        Ok(Updating { core: Arc::clone(core), slots, new, settled: AtomicBool::new(false) })
    }

    /// The kernel has changed so many of the slots.
    pub(super) fn settle(&self, done: u32) -> Vec<Option<Handle>> {
        if self.settled.swap(true, Ordering::AcqRel) || self.core.is_gone() {
            return Vec::new();
        }
        let new = |at: u32| self.new.get(at as usize).copied().unwrap_or(Update::Skip);
        self.core.files().end_update(self.slots.clone(), done, new)
    }
}

impl Drop for Updating {
    fn drop(&mut self) {
        self.settle(0);
        // What was closed meanwhile.
        self.core.empty_due();
    }
}

/// One thing that a request has to do with direct descriptors.
pub(crate) enum Part {
    /// It uses a file beside the one it is on.
    Uses { _file: InUse },
    /// It makes a file, and the kernel chooses its slot.
    Chooses(Choosing),
    /// It makes a file in this slot.
    Into { _slot: InUse, file: Py<PyDirectFile> },
    /// It makes a pipe in these slots.
    IntoTwo { _slots: [InUse; 2], files: [Py<PyDirectFile>; 2] },
    /// It closes a file.
    Closes(Closing),
    /// It changes slots.
    Updates(Updating),
}

impl Part {
    /// May it be done a second time? A slot that was closed once may be another's by then.
    pub(crate) fn repeats(&self) -> bool {
        !matches!(self, Part::Closes(_) | Part::Updates(_))
    }

    /// What a completion needs to bring what was made, while the request goes on.
    pub(crate) fn shot(&self) -> Option<Shot> {
        match self {
            Part::Chooses(choosing) => Some(Shot(Arc::clone(&choosing.0))),
            _ => None,
        }
    }

    /// What the request brought, now that it completed with `res`: handles that own what was made.
    fn results(&self, py: Python<'_>, args: Option<&Args>, res: i32) -> Option<Brought> {
        match self {
            Part::Uses { .. } => None,
            Part::Closes(closing) => {
                closing.settle(res >= 0);
                None
            }
            Part::Updates(updating) => Some(Brought::many(updating.finish(py, res))),
            Part::Into { file, .. } => (res >= 0).then(|| Brought::one(file.clone_ref(py))),
            Part::IntoTwo { files, .. } => (res >= 0).then(|| {
                let files = files.iter().map(|file| Some(file.clone_ref(py)));
                Brought { files: files.collect(), form: Form::Pair }
            }),
            Part::Chooses(choosing) => {
                let core = &choosing.0;
                if res < 0 {
                    return None;
                }
                let Some(Args::Fds(slots)) = args else {
                    return Some(Brought {
                        files: vec![core.claim(py, res as u32).ok()],
                        form: Form::One,
                    });
                };
                let form = if slots.is_pipe() { Form::Pair } else { Form::Many };
                let slots = slots.slots(res as u32);
                let claimed = slots.iter().map(|slot| core.claim(py, *slot).ok());
                Some(Brought { files: claimed.collect(), form })
            }
        }
    }
}

/// One completion of a request that makes a file with each, the kernel choosing the slots.
pub(crate) struct Shot(Arc<FileCore>);

impl Shot {
    /// What it brought.
    pub(crate) fn results(self, py: Python<'_>, res: i32) -> Option<Box<Results>> {
        let slot = u32::try_from(res).ok()?;
        let files = Brought { files: vec![self.0.claim(py, slot).ok()], form: Form::One };
        Some(Box::new(Results::Direct { files, peer: None }))
    }
}

impl Updating {
    fn finish(&self, py: Python<'_>, res: i32) -> Vec<Option<Py<PyDirectFile>>> {
        let handles = self.settle(u32::try_from(res).unwrap_or(0));
        let count = handles.len();
        // The files are in their slots; what cannot be shown now, the table shows later.
        self.core.handles(py, handles).unwrap_or_else(|_| (0..count).map(|_| None).collect())
    }
}

impl FileCore {
    /// Handles of files that belong to the table.
    pub(super) fn handles(
        self: &Arc<Self>,
        py: Python<'_>,
        handles: Vec<Option<Handle>>,
    ) -> PyResult<Vec<Option<Py<PyDirectFile>>>> {
        let borrowed = |handle| Py::new(py, PyDirectFile::new(Arc::clone(self), handle, false));
        handles.into_iter().map(|handle| handle.map(borrowed).transpose()).collect()
    }
}

/// Direct descriptors that a request brought.
pub(crate) struct Brought {
    files: Vec<Option<Py<PyDirectFile>>>,
    form: Form,
}

/// How they are shown.
#[derive(Clone, Copy)]
enum Form {
    One,
    Pair,
    Many,
}

impl Brought {
    fn one(file: Py<PyDirectFile>) -> Self {
        Brought { files: vec![Some(file)], form: Form::One }
    }

    fn many(files: Vec<Option<Py<PyDirectFile>>>) -> Self {
        Brought { files, form: Form::Many }
    }

    /// In Python's form: the handle, a tuple of the two of a pipe, or a list.
    pub(crate) fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let files: Vec<_> =
            self.files.iter().map(|file| file.as_ref().map(|file| file.clone_ref(py))).collect();
        match self.form {
            Form::Many => Ok(files.into_pyobject(py)?.unbind()),
            Form::Pair => Ok(PyTuple::new(py, files)?.into_any().unbind()),
            Form::One => {
                let file = files.into_iter().next().flatten();
                Ok(file.map_or_else(|| py.None(), Py::into_any))
            }
        }
    }
}

/// What a request brought that has to do with direct descriptors, as its parts say; None if that is
/// nothing.
pub(crate) fn results<'a>(
    py: Python<'_>,
    parts: impl Iterator<Item = &'a Part>,
    args: Option<&Args>,
    res: i32,
) -> Option<Box<Results>> {
    let mut brought = None;
    for part in parts {
        brought = part.results(py, args, res).or(brought);
    }
    let peer: Option<SockAddr> = match args {
        Some(Args::Accept(accept)) => Some(accept.peer_written()),
        _ => None,
    };
    brought.map(|files| Box::new(Results::Direct { files, peer }))
}

#[cold]
pub(super) fn no_table() -> PyErr {
    PyValueError::new_err("the ring has no file table: register_files() makes one")
}

/// A request is on a direct descriptor: its slot, for `fd`.
pub(crate) fn use_file(keep: &mut Keep, object: &Bound<'_, PyDirectFile>) -> PyResult<i32> {
    let slot = use_beside(keep, object)?;
    keep.special |= IOSQE_FIXED_FILE;
    Ok(slot)
}

/// A request uses a direct descriptor in some other place than `fd`: its slot.
pub(super) fn use_beside(keep: &mut Keep, object: &Bound<'_, PyDirectFile>) -> PyResult<i32> {
    let file = object.get();
    keep.bind(file.core.ring_id)?;
    let slot = file.handle.slot as i32;
    if keep.holds() {
        let using = InUse::of(file)?;
        keep.add_part(Part::Uses { _file: using });
    } else {
        file.core.enter(file.handle)?;
        keep.hold_direct(object.as_any());
    }
    Ok(slot)
}

/// A request that was on the direct descriptor `held` has ended.
pub(crate) fn used_no_more(held: &Bound<'_, PyAny>) {
    if let Ok(file) = held.cast::<PyDirectFile>() {
        let file = file.get();
        file.core.leave(file.handle);
    }
}

/// A file for an operation that tells descriptors and slots apart by a flag of its own: the number,
/// and whether it is a slot.
pub(crate) fn number_or_slot(keep: &mut Keep, object: Any<'_, '_>) -> PyResult<(i32, bool)> {
    match object.cast::<PyDirectFile>() {
        Ok(file) => Ok((use_beside(keep, file)?, true)),
        Err(_) => Ok((convert::file(keep, object)?, false)),
    }
}

/// A direct descriptor for a call of the ring `ring_id` that is no request: its slot, and its use.
pub(crate) fn slot_of(file: &PyDirectFile, ring_id: u32) -> PyResult<(i32, InUse)> {
    if file.core.ring_id != ring_id {
        return Err(another_ring());
    }
    Ok((file.handle.slot as i32, InUse::of(file)?))
}

/// Where a request is to put the file it makes, as `direct=` says: what belongs into the entry's
/// `file_index`, 0 for an ordinary descriptor.
///
/// The kernel refuses close-on-exec flags beside a direct descriptor, which has no use for them.
pub(crate) fn target(keep: &mut Keep, direct: Option<Any<'_, '_>>) -> PyResult<u32> {
    let Some(direct) = direct.filter(|direct| !direct.is_none()) else { return Ok(0) };
    if let Ok(choose) = direct.cast::<PyBool>() {
        if choose.is_true() {
            keep.special |= CHOOSES;
            return Ok(IORING_FILE_INDEX_ALLOC);
        }
        return Ok(0);
    }
    let slot = reserved(direct)?;
    keep.bind(slot.get().core.ring_id)?;
    into(keep, slot)
}

/// [`target`] for the two ends of a pipe, which the kernel puts into neighbouring slots.
pub(crate) fn target_of_two(keep: &mut Keep, direct: Option<Any<'_, '_>>) -> PyResult<u32> {
    let Some(direct) = direct.filter(|direct| !direct.is_none()) else { return Ok(0) };
    if direct.is_exact_instance_of::<PyBool>() {
        return target(keep, Some(direct));
    }
    let wrong = || {
        PyTypeError::new_err(
            "direct is True (the kernel chooses slots) or two reserved DirectFiles, (end to read \
             from, end to write to)",
        )
    };
    let (read, write): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
        direct.extract().map_err(|_| wrong())?;
    let pair = [reserved(&read)?, reserved(&write)?];
    let [read, write] = pair.map(Bound::get);
    if !Arc::ptr_eq(&read.core, &write.core) || read.handle.slot + 1 != write.handle.slot {
        return Err(PyValueError::new_err("the two slots of a pipe must be neighbours, in order"));
    }
    keep.bind(read.core.ring_id)?;
    let slots = [InUse::of(read)?, InUse::of(write)?];
    let files = pair.map(|file| file.clone().unbind());
    keep.add_part(Part::IntoTwo { _slots: slots, files });
    Ok(read.handle.slot + 1)
}

/// The slot that a request puts a file into.
pub(super) fn into(keep: &mut Keep, slot: &Bound<'_, PyDirectFile>) -> PyResult<u32> {
    let using = InUse::of(slot.get())?;
    keep.add_part(Part::Into { _slot: using, file: slot.clone().unbind() });
    Ok(slot.get().handle.slot + 1)
}

pub(super) fn reserved<'a, 'py>(direct: Any<'a, 'py>) -> PyResult<&'a Bound<'py, PyDirectFile>> {
    let Ok(slot) = direct.cast::<PyDirectFile>() else {
        return Err(PyTypeError::new_err(format!(
            "direct is True (the kernel chooses a slot) or a reserved DirectFile \
             (FileTable.reserve), not '{}'",
            direct.get_type().name()?
        )));
    };
    let file = slot.get();
    file.core.check(file.handle)?;
    if !file.is_reserved() {
        return Err(PyValueError::new_err(
            "the slot to put a file into must be a reserved one (FileTable.reserve)",
        ));
    }
    Ok(slot)
}

/// Make the entry fit what its files are; refuse an operation that cannot use direct descriptors.
#[cold]
pub(crate) fn fitting(keep: &Keep, sqe: &mut io_uring_sqe) -> PyResult<()> {
    if keep.special & IOSQE_FIXED_FILE == 0 {
        return Ok(());
    }
    if !opcode::takes_fixed_file(sqe.opcode) {
        let name = opcode::info(sqe.opcode).map_or("?", |info| info.name);
        return Err(PyTypeError::new_err(format!(
            "{name} takes no direct descriptor here: prep_fixed_fd_install makes an ordinary one"
        )));
    }
    sqe.flags |= IOSQE_FIXED_FILE;
    Ok(())
}

impl PyRing {
    /// The descriptor of an open ring, which may be another thread's.
    pub(super) fn fd_anywhere(&self, py: Python<'_>) -> PyResult<i32> {
        if !self.cell.same_process() {
            return Err(self.error(py, &RingError::Forked));
        }
        match self.number.load(Ordering::Acquire) {
            fd if fd >= 0 => Ok(fd),
            _ => Err(self.error(py, &RingError::Closed)),
        }
    }

    /// The kernel is to choose a slot of this ring for what the request makes.
    #[cold]
    pub(crate) fn have_chosen(&self, keep: &mut Keep) -> PyResult<()> {
        let core = self.resources.files().ok_or_else(no_table)?;
        keep.add_part(Part::Chooses(Choosing::of(core)?));
        Ok(())
    }
}
