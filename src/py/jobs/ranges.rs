//! `read_ranges` and `write_ranges`: arguments to columns, the engine driven, results to Python.

use std::collections::HashMap;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyMemoryView, PyString};

use crate::bulk::host::Host;
use crate::bulk::ranges::{Direct, Reads, Report, Rows, Settings, Source, Step, Transfer, Writes};
use crate::ops::batch::{Column, Place};
use crate::py::jobs::pages::PyPages;
use crate::py::keep::{Access, Owner};
use crate::py::sim::PySimKernel;
use crate::py::{batch, columns, convert, errors, jobs, memory};
use crate::sys::ending::arm_thread;
use crate::sys::os::O_APPEND;
use crate::sys::syscall::monotonic_ns;
use crate::sys::Errno;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// More requests at a time are of no use to any device.
const DEPTH_MOST: u32 = 4096;

/// The files of a job.
struct Named<'py> {
    sources: Vec<Source>,
    /// As they were given, for errors.
    names: Vec<Bound<'py, PyAny>>,
    /// Which file each range is in.
    files: Column<u32>,
}

/// A path or an open file.
pub(crate) fn source(object: Any<'_, '_>) -> PyResult<Source> {
    if object.is_instance_of::<PyInt>() || !is_path(object)? {
        return convert::file_number(object).map(Source::Fd);
    }
    convert::path(object).map(Source::Path)
}

fn is_path(object: Any<'_, '_>) -> PyResult<bool> {
    let plain = object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>();
    Ok(plain || object.hasattr(intern!(object.py(), "__fspath__"))?)
}

fn is_one_file(object: Any<'_, '_>) -> PyResult<bool> {
    let one = object.is_instance_of::<PyInt>() || is_path(object)?;
    Ok(one || object.hasattr(intern!(object.py(), "fileno"))?)
}

/// One file for all ranges; or a sequence with one for each; or a sequence, and for each range its
/// place there.
fn named<'py>(files: Any<'_, 'py>, index: Option<Any<'_, 'py>>) -> PyResult<Named<'py>> {
    if is_one_file(files)? {
        if index.is_some() {
            return Err(PyValueError::new_err("index needs a sequence of files"));
        }
        let (sources, names) = (vec![source(files)?], vec![files.clone()]);
        return Ok(Named { sources, names, files: Column::Same(0) });
    }
    let (mut sources, mut names, mut each) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    for file in files.try_iter()? {
        let file = file?;
        batch::row_count(each.len() + 1)?;
        let source = source(&file)?;
        // The same file again is opened once.
        let known = match &source {
            Source::Path(path) => seen.entry((Some(path.clone()), 0)),
            Source::Fd(fd) => seen.entry((None, *fd)),
        };
        let number = *known.or_insert(sources.len() as u32);
        if number as usize == sources.len() {
            sources.push(source);
            names.push(file);
        }
        each.push(number);
    }
    let files = match index {
        None => Column::Each(each),
        Some(index) => columns::ints(index)?.try_map(|place| {
            usize::try_from(place).ok().and_then(|place| each.get(place).copied()).ok_or_else(
                || {
                    PyValueError::new_err(format!(
                        "index {place} is not one of {} files",
                        each.len()
                    ))
                },
            )
        })?,
    };
    Ok(Named { sources, names, files })
}

/// Where the ranges' bytes are.
struct Laid<'py> {
    rows: Rows,
    owner: Owner,
    /// What was given, or was made.
    memory: Bound<'py, PyAny>,
    /// From one range to the next; or where each begins; none in buffers of their own.
    starts: Bound<'py, PyAny>,
}

/// What the columns of a range take, beside those that are there already: offset and size once
/// more while they are checked, how much is done, its place, its start for Python, its turn.
const BYTES_OF_A_RANGE: usize = 64;

struct Plan {
    count: u32,
    files: Column<u32>,
    offsets: Column<i64>,
    sizes: Column<i64>,
}

impl Plan {
    fn new(files: Column<u32>, offsets: Any<'_, '_>, sizes: Any<'_, '_>) -> PyResult<Self> {
        Plan::of(files, columns::ints(offsets)?, columns::ints(sizes)?)
    }

    /// Without sizes: those of the buffers, or equal parts of the one there is.
    fn of_data(
        files: Column<u32>,
        offsets: Any<'_, '_>,
        sizes: Option<Any<'_, '_>>,
        data: Any<'_, '_>,
    ) -> PyResult<Self> {
        if let Some(sizes) = sizes {
            return Plan::new(files, offsets, sizes);
        }
        let offsets = columns::ints(offsets)?;
        let length = |buffer: Any<'_, '_>| {
            let mut owner = Owner::default();
            Ok::<_, PyErr>(owner.keep().export(buffer, Access::Source)?.len as i64)
        };
        if let Ok(list) = data.cast::<PyList>() {
            let sizes = list.iter().map(|buffer| length(&buffer)).collect::<PyResult<_>>()?;
            return Plan::of(files, offsets, Column::Each(sizes));
        }
        let all = length(data)?;
        let count = offsets.rows().or(files.rows()).unwrap_or(1).max(1) as i64;
        if all % count != 0 {
            return Err(PyValueError::new_err(format!(
                "{all} bytes cannot be divided into {count} ranges of one size: give sizes"
            )));
        }
        Plan::of(files, offsets, Column::Same(all / count))
    }

    fn of(files: Column<u32>, offsets: Column<i64>, sizes: Column<i64>) -> PyResult<Self> {
        let counts = [offsets.rows(), sizes.rows(), files.rows()];
        let count = counts.into_iter().flatten().next().unwrap_or(1);
        if let Some(other) = counts.into_iter().flatten().find(|rows| *rows != count) {
            return Err(PyValueError::new_err(format!(
                "files, offsets and sizes must be of the same length, not {count} and {other}"
            )));
        }
        let count = batch::row_count(count)?;
        memory::afford(count, BYTES_OF_A_RANGE)?;
        Ok(Plan { count, files, offsets, sizes })
    }

    fn place(self, place: Place) -> PyResult<Rows> {
        let Plan { count, files, offsets, sizes } = self;
        let (known_offsets, known_sizes) = (offsets.clone(), sizes.clone());
        Rows::new(count, files, offsets, sizes, place).map_err(|row| {
            let (offset, size) = (known_offsets.at(row), known_sizes.at(row));
            PyValueError::new_err(format!(
                "range {row}: offset and size must be 0 or more, and end before 2**63, not \
                 {offset} and {size}"
            ))
        })
    }

    /// One after the other: where each begins, and how much that is together.
    fn dense(&self) -> PyResult<(Place, u64)> {
        let bad = || PyValueError::new_err("sizes must be 0 or more, and fit into memory");
        let place = match &self.sizes {
            Column::Same(size) => {
                let stride = u64::try_from(*size).map_err(|_| bad())?;
                let total = stride.checked_mul(self.count.into()).ok_or_else(bad)?;
                (Place::Pieces { base: 0, stride }, total)
            }
            Column::Each(sizes) => {
                let (mut at, mut starts) = (0u64, memory::room(sizes.len())?);
                for size in sizes {
                    starts.push(at);
                    let size = u64::try_from(*size).map_err(|_| bad())?;
                    at = at.checked_add(size).ok_or_else(bad)?;
                }
                (Place::Each(starts), at)
            }
        };
        if place.1 > isize::MAX as u64 {
            return Err(bad());
        }
        Ok(place)
    }
}

/// `array.array('q')`: NumPy sees int64.
fn array<'py>(py: Python<'py>, values: &[i64]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: plain numbers of ours, seen as the bytes they are made of (I5).
    let bytes =
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    py.import(intern!(py, "array"))?.getattr("array")?.call1(("q", PyBytes::new(py, bytes)))
}

/// Lay the ranges out in `memory`, or in new memory.
fn lay<'py>(
    py: Python<'py>,
    plan: Plan,
    memory: Option<Any<'_, 'py>>,
    access: Access,
) -> PyResult<Laid<'py>> {
    let mut owner = Owner::default();
    if let Some(list) = memory.and_then(|memory| memory.cast::<PyList>().ok()) {
        return lay_each(plan, list, owner, access);
    }
    let (place, total) = plan.dense()?;
    let memory = match memory {
        Some(memory) => memory.clone(),
        None => {
            let pages = Bound::new(py, PyPages::new(total as usize)?)?;
            PyMemoryView::from(pages.as_any())?.into_any()
        }
    };
    let found = owner.keep().export(&memory, access)?;
    if (found.len as u64) < total {
        return Err(PyValueError::new_err(format!(
            "the ranges are {total} bytes together, the buffer has {}",
            found.len
        )));
    }
    let (place, starts) = match place {
        Place::Pieces { stride, .. } => {
            (Place::Pieces { base: found.addr, stride }, stride.into_pyobject(py)?.into_any())
        }
        Place::Each(mut places) => {
            let relative: Vec<i64> = places.iter().map(|at| *at as i64).collect();
            places.iter_mut().for_each(|at| *at += found.addr);
            (Place::Each(places), array(py, &relative)?)
        }
    };
    Ok(Laid { rows: plan.place(place)?, owner, memory, starts })
}

/// A buffer for each range.
fn lay_each<'py>(
    plan: Plan,
    list: &Bound<'py, PyList>,
    mut owner: Owner,
    access: Access,
) -> PyResult<Laid<'py>> {
    // What was in the list when it was looked at is what stays in use, whatever becomes of the list.
    let buffers = list.as_sequence().to_list()?;
    let (count, given) = (plan.count, buffers.len());
    if given != count as usize {
        return Err(PyValueError::new_err(format!("{given} buffers for {count} ranges")));
    }
    let mut places = memory::room(given)?;
    for (row, buffer) in buffers.iter().enumerate() {
        let memory = owner.keep().export_more(&buffer, access)?;
        let size = plan.sizes.at(row as u32);
        if size > memory.len as i64 {
            return Err(PyValueError::new_err(format!(
                "range {row} is {size} bytes, its buffer has {}",
                memory.len
            )));
        }
        places.push(memory.addr);
    }
    let rows = plan.place(Place::Each(places))?;
    let none = list.py().None().into_bound(list.py());
    Ok(Laid { rows, owner, memory: buffers.into_any(), starts: none })
}

/// "auto", True or False.
pub(crate) fn direct(value: Any<'_, '_>) -> PyResult<Direct> {
    if let Ok(always) = value.extract::<bool>() {
        return Ok(if always { Direct::Always } else { Direct::Never });
    }
    match value.extract::<String>().as_deref() {
        Ok("auto") => Ok(Direct::Auto),
        _ => Err(PyValueError::new_err("direct must be \"auto\", True or False")),
    }
}

fn settings(direct_: Any<'_, '_>, depth: i64, way: &str, stop: bool) -> PyResult<Settings> {
    let depth = u32::try_from(depth).ok().filter(|depth| (1..=DEPTH_MOST).contains(depth));
    let depth =
        depth.ok_or_else(|| PyValueError::new_err(format!("depth must be 1 to {DEPTH_MOST}")))?;
    Ok(Settings { direct: direct(direct_)?, depth, way: jobs::way(way)?, stop })
}

/// OSError of the class that fits, naming file and range.
fn failure(py: Python<'_>, named: &Named<'_>, row: u32, plan: (i64, i64), errno: Errno) -> PyErr {
    let (offset, size) = plan;
    let name = named.names[named.files.at(row) as usize].clone().unbind();
    let text = format!("{} (range {row}: {size} bytes at {offset})", errno.message());
    let error = PyOSError::new_err((errno.0, text, name));
    match error.value(py).setattr(intern!(py, "range"), row) {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// Read ranges of files; see `uring_rs.read_ranges`.
///
/// Returns: memory, starts, bytes read, ranges that the end of file cut short, errors, stats.
#[pyfunction]
#[pyo3(signature = (files, index, offsets, sizes, out, direct, depth, stop, way, kernel))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn _read_ranges<'py>(
    py: Python<'py>,
    files: Any<'_, 'py>,
    index: Option<Any<'_, 'py>>,
    offsets: Any<'_, 'py>,
    sizes: Any<'_, 'py>,
    out: Option<Any<'_, 'py>>,
    direct: Any<'_, 'py>,
    depth: i64,
    stop: bool,
    way: &str,
    kernel: Option<&Bound<'py, PySimKernel>>,
) -> PyResult<Bound<'py, PyAny>> {
    arm_thread();
    let settings = settings(direct, depth, way, stop)?;
    let named = named(files, index)?;
    let plan = Plan::new(named.files.clone(), offsets, sizes)?;
    let laid = lay(py, plan, out, Access::Destination)?;
    let Laid { rows, owner, memory, starts } = laid;
    let host = jobs::host(kernel);
    let sources = named.sources.clone();
    // SAFETY: every range lies within what `owner` has exported for writing (I2).
    let mut job = unsafe { Reads::new(host, sources, rows, owner, settings) };
    run(py, &mut job)?;
    let stats = stats(py, &mut job)?;
    let report = std::mem::take(job.report());
    stats.set_item("merged", report.merged)?;
    stats.set_item("bytes", report.done.iter().sum::<i64>())?;
    let failures = failures(py, &named, &report, job.rows())?;
    if let (true, Some((_, first))) = (stop, failures.first()) {
        return Err(PyErr::from_value(first.clone()));
    }
    let failed = PyDict::new(py);
    for (row, error) in failures {
        failed.set_item(row, error)?;
    }
    let mut eof = report.eof;
    eof.sort_unstable();
    eof.dedup();
    let done = array(py, &report.done)?;
    Ok((memory, starts, done, eof, failed, stats).into_pyobject(py)?.into_any())
}

/// From beginning to end, looking for signals now and then.
fn run<H: Host>(py: Python<'_>, job: &mut (impl Transfer<H> + Send)) -> PyResult<()> {
    job.pump().insist().map_err(|error| errors::ring_error(py, &error))?;
    let outcome = drive(py, job);
    let closed = jobs::close(py, job.pump());
    jobs::tell_refusal(py, job.pump())?;
    outcome.and(closed)
}

fn drive<H: Host>(py: Python<'_>, job: &mut (impl Transfer<H> + Send)) -> PyResult<()> {
    loop {
        match py.detach(|| job.go_on(monotonic_ns() + jobs::NAP_NS)) {
            Step::Done => return Ok(()),
            Step::Look => py.check_signals()?,
            Step::Failed(error) => return Err(errors::ring_error(py, &error)),
        }
    }
}

/// The error of each range that failed, the lowest first.
fn failures<'py>(
    py: Python<'py>,
    named: &Named<'py>,
    report: &Report,
    rows: &Rows,
) -> PyResult<Vec<(u32, Bound<'py, PyAny>)>> {
    let mut errors = report.errors.clone();
    errors.sort_by_key(|(row, _)| *row);
    errors.dedup_by_key(|(row, _)| *row);
    let mut found = Vec::with_capacity(errors.len());
    for (row, errno) in errors {
        let range = rows.row(row);
        let place = (range.offset as i64, range.size as i64);
        let error = failure(py, named, row, place, errno);
        found.push((row, error.value(py).clone().into_any()));
    }
    Ok(found)
}

fn stats<'py, H: Host>(
    py: Python<'py>,
    job: &mut impl Transfer<H>,
) -> PyResult<Bound<'py, PyDict>> {
    let counts = job.pump().counts();
    let dict = jobs::counts(py, &counts)?;
    let report = job.report();
    dict.set_item("direct", report.direct)?;
    dict.set_item("bounced", report.bounced)?;
    dict.set_item("buffered", report.buffered)?;
    Ok(dict)
}

/// Write ranges of files; see `uring_rs.write_ranges`.
///
/// Returns: stats.
#[pyfunction]
#[pyo3(signature = (files, index, offsets, sizes, data, direct, depth, fsync, way, kernel))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn _write_ranges<'py>(
    py: Python<'py>,
    files: Any<'_, 'py>,
    index: Option<Any<'_, 'py>>,
    offsets: Any<'_, 'py>,
    sizes: Option<Any<'_, 'py>>,
    data: Any<'_, 'py>,
    direct: Any<'_, 'py>,
    depth: i64,
    fsync: bool,
    way: &str,
    kernel: Option<&Bound<'py, PySimKernel>>,
) -> PyResult<Bound<'py, PyDict>> {
    arm_thread();
    let settings = settings(direct, depth, way, true)?;
    let named = named(files, index)?;
    let host = jobs::host(kernel);
    for (source, name) in named.sources.iter().zip(&named.names) {
        if let Source::Fd(fd) = source {
            if host.status_flags(*fd).is_ok_and(|flags| flags & O_APPEND != 0) {
                let text = "is open for appending, where Linux ignores offsets";
                return Err(PyValueError::new_err(format!("{} {text}", name.repr()?)));
            }
        }
    }
    let plan = Plan::of_data(named.files.clone(), offsets, sizes, data)?;
    let Laid { rows, owner, .. } = lay(py, plan, Some(data), Access::Source)?;
    if let Some((one, other)) = rows.overlap() {
        return Err(PyValueError::new_err(format!("ranges {one} and {other} overlap")));
    }
    let sources = named.sources.clone();
    // SAFETY: every range lies within what `owner` has exported (I2).
    let mut job = unsafe { Writes::new(host, sources, rows, owner, settings, fsync) };
    run(py, &mut job)?;
    let stats = stats(py, &mut job)?;
    let report = std::mem::take(job.report());
    stats.set_item("bytes", report.bytes)?;
    stats.set_item("flushes", report.flushes)?;
    let mut failed = failures(py, &named, &report, job.rows())?;
    let error = match (failed.is_empty(), report.unflushed.first()) {
        (true, None) => return Ok(stats),
        (true, Some((file, errno))) => unflushed(&named, *file, *errno),
        (false, _) => {
            let (row, error) = failed.swap_remove(0);
            error.setattr(intern!(py, "written"), report.done[row as usize])?;
            PyErr::from_value(error)
        }
    };
    error.value(py).setattr(intern!(py, "stats"), stats)?;
    Err(error)
}

fn unflushed(named: &Named<'_>, file: u32, errno: Errno) -> PyErr {
    let name = named.names[file as usize].clone().unbind();
    PyOSError::new_err((errno.0, format!("{} (fsync)", errno.message()), name))
}
