//! The bulk methods of `Ring`.

use std::ptr::NonNull;

use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;

use crate::ops::batch::{Rows, What};
use crate::py::batch::{read_write_rows, results_array, row_count};
use crate::py::convert;
use crate::py::keep::{Access, Keep, Owner};
use crate::py::ring::PyRing;
use crate::ring::batches::BatchCqe;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

impl PyRing {
    #[allow(clippy::too_many_arguments)]
    fn stage_transfers(
        &self,
        py: Python<'_>,
        what: What,
        files: Any<'_, '_>,
        bufs: Any<'_, '_>,
        offsets: Any<'_, '_>,
        nbytes: Option<Any<'_, '_>>,
        tag: u64,
        flags: u32,
    ) -> PyResult<u32> {
        self.check_open(py)?;
        let mut owner = Owner::default();
        let rows = self.transfers(owner.keep(), what, files, bufs, offsets, nbytes, flags)?;
        self.stage_rows(py, &rows, tag, owner)
    }

    #[allow(clippy::too_many_arguments)]
    fn transfers(
        &self,
        owner: &mut Keep,
        what: What,
        files: Any<'_, '_>,
        bufs: Any<'_, '_>,
        offsets: Any<'_, '_>,
        nbytes: Option<Any<'_, '_>>,
        flags: u32,
    ) -> PyResult<Rows> {
        let flags = convert::batch_flags(flags)?;
        let rows = read_write_rows(owner, what, files, bufs, offsets, nbytes, flags)?;
        if owner.ring_id != 0 && owner.ring_id != self.id {
            return Err(super::stage::another_ring());
        }
        Ok(rows)
    }

    #[allow(clippy::too_many_arguments)]
    fn run_transfers<'py>(
        &self,
        py: Python<'py>,
        what: What,
        files: Any<'_, 'py>,
        bufs: Any<'_, 'py>,
        offsets: Any<'_, 'py>,
        nbytes: Option<Any<'_, 'py>>,
        results: Option<Bound<'py, PyAny>>,
        depth: Option<u32>,
        flags: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_open(py)?;
        let mut owner = Owner::default();
        let rows = self.transfers(owner.keep(), what, files, bufs, offsets, nbytes, flags)?;
        self.run_with_results(py, &rows, results, depth, owner)
    }

    fn run_with_results<'py>(
        &self,
        py: Python<'py>,
        rows: &Rows,
        results: Option<Bound<'py, PyAny>>,
        depth: Option<u32>,
        mut owner: Owner,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = match results {
            Some(array) => array,
            None => fresh_results(py, rows.count)?,
        };
        let memory = results_array(owner.keep(), &array, rows.count)?;
        self.run_rows(py, rows, depth, memory, owner)?;
        Ok(array)
    }
}

/// `array.array('i')` with a zero for each row.
fn fresh_results(py: Python<'_>, count: u32) -> PyResult<Bound<'_, PyAny>> {
    let zeros = pyo3::types::PyBytes::new_with(py, count as usize * size_of::<i32>(), |_| Ok(()))?;
    py.import("array")?.getattr("array")?.call1(("i", zeros))
}

#[pymethods]
impl PyRing {
    /// Stage `count` NOPs in one call.
    ///
    /// Args:
    ///     count: how many, up to 2**24.
    ///     tag: the first one's tag in `reap_into`; the others count up from it.
    ///     flags: SqeFlags of all of them; no links.
    ///
    /// Returns: how many were staged. Fewer than `count` only when no more can be in flight
    ///     (cq_entries): reap, and go on from there.
    #[pyo3(signature = (count, *, tag = 0, flags = 0))]
    fn prep_nop_batch(&self, py: Python<'_>, count: usize, tag: u64, flags: u32) -> PyResult<u32> {
        self.check_open(py)?;
        let rows = Rows::nops(row_count(count)?, convert::batch_flags(flags)?);
        self.stage_rows(py, &rows, tag, Owner::default())
    }

    /// Stage many reads in one call, from columns of numbers.
    ///
    /// Args:
    ///     files: one file for all rows, or an array of descriptors, or a list of files.
    ///     bufs: one writable buffer that is cut into pieces, one after the other, or a list of
    ///         buffers. A FixedBuffer makes them fixed reads.
    ///     offsets: an integer array (array, NumPy, memoryview), a range or list, or one int.
    ///     nbytes: of each row: one int, or an array. Default: the buffer divided equally, or each
    ///         buffer's length.
    ///     tag: the first row's tag in `reap_into`; the others count up from it.
    ///     flags: SqeFlags of all rows; no links.
    ///
    /// Returns: how many rows were staged. Fewer than there are only when no more can be in flight
    ///     (cq_entries): reap, and go on from there.
    ///
    /// Memory: all buffers are locked until the last row has completed; the columns are copied.
    #[pyo3(signature = (files, bufs, offsets, nbytes = None, *, tag = 0, flags = 0))]
    #[allow(clippy::too_many_arguments)]
    fn prep_read_batch(
        &self,
        py: Python<'_>,
        files: Any<'_, '_>,
        bufs: Any<'_, '_>,
        offsets: Any<'_, '_>,
        nbytes: Option<Any<'_, '_>>,
        tag: u64,
        flags: u32,
    ) -> PyResult<u32> {
        self.stage_transfers(py, What::Read, files, bufs, offsets, nbytes, tag, flags)
    }

    /// Stage many writes in one call. Arguments as for prep_read_batch; buffers are sources.
    #[pyo3(signature = (files, bufs, offsets, nbytes = None, *, tag = 0, flags = 0))]
    #[allow(clippy::too_many_arguments)]
    fn prep_write_batch(
        &self,
        py: Python<'_>,
        files: Any<'_, '_>,
        bufs: Any<'_, '_>,
        offsets: Any<'_, '_>,
        nbytes: Option<Any<'_, '_>>,
        tag: u64,
        flags: u32,
    ) -> PyResult<u32> {
        self.stage_transfers(py, What::Write, files, bufs, offsets, nbytes, tag, flags)
    }

    /// Do `count` NOPs: submit them all, keep the ring full, and wait for the last.
    ///
    /// Args and result as for run_reads.
    #[pyo3(signature = (count, *, results = None, depth = None))]
    fn run_nops<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        results: Option<Bound<'py, PyAny>>,
        depth: Option<u32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_open(py)?;
        let rows = Rows::nops(row_count(count)?, 0);
        self.run_with_results(py, &rows, results, depth, Owner::default())
    }

    /// Do many reads and wait for the last: the ring is kept full, with the interpreter free for
    /// other threads whenever there is something to wait for or much to copy.
    ///
    /// Args:
    ///     files, bufs, offsets, nbytes, flags: as for prep_read_batch. Any number of rows up to
    ///         2**24, whatever the size of the ring.
    ///     results: writable array of 32-bit ints for one result per row, in the order of the
    ///         rows. Default: a new array.array('i').
    ///     depth: how many to keep in flight (default: sq_entries).
    ///
    /// Returns: `results`: bytes read, or a negative errno, for each row. Short reads are reported
    ///     as they are.
    ///
    /// An exception (Ctrl-C) leaves rows in flight; their buffers, and `results`, stay locked
    /// until they have ended.
    #[pyo3(signature = (files, bufs, offsets, nbytes = None, *, results = None, depth = None,
        flags = 0))]
    #[allow(clippy::too_many_arguments)]
    fn run_reads<'py>(
        &self,
        py: Python<'py>,
        files: Any<'_, 'py>,
        bufs: Any<'_, 'py>,
        offsets: Any<'_, 'py>,
        nbytes: Option<Any<'_, 'py>>,
        results: Option<Bound<'py, PyAny>>,
        depth: Option<u32>,
        flags: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run_transfers(py, What::Read, files, bufs, offsets, nbytes, results, depth, flags)
    }

    /// Do many writes and wait for the last. As run_reads; buffers are sources.
    #[pyo3(signature = (files, bufs, offsets, nbytes = None, *, results = None, depth = None,
        flags = 0))]
    #[allow(clippy::too_many_arguments)]
    fn run_writes<'py>(
        &self,
        py: Python<'py>,
        files: Any<'_, 'py>,
        bufs: Any<'_, 'py>,
        offsets: Any<'_, 'py>,
        nbytes: Option<Any<'_, 'py>>,
        results: Option<Bound<'py, PyAny>>,
        depth: Option<u32>,
        flags: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run_transfers(py, What::Write, files, bufs, offsets, nbytes, results, depth, flags)
    }

    /// Take completions of batches, 16 bytes each: u64 tag, i32 res, u32 flags.
    ///
    /// Args:
    ///     records: writable buffer for whole records: a `CqeArray`, an array like
    ///         `numpy.empty(128, uring_rs.cqe_dtype())`, or a bytearray.
    ///
    /// Returns: how many records were written, without waiting. Completions of single requests
    ///     are not among them: iterate for those.
    #[pyo3(signature = (records, /))]
    fn reap_into(&self, py: Python<'_>, records: Any<'_, '_>) -> PyResult<usize> {
        let mut borrowed = Keep::default();
        let memory = borrowed.export(records, Access::Destination)?;
        let room = memory.len / size_of::<BatchCqe>();
        let start = NonNull::new(memory.addr as *mut BatchCqe).unwrap_or(NonNull::dangling());
        let taken = if memory.len % size_of::<BatchCqe>() == 0 {
            self.reap_records(py, start, room)
        } else {
            Err(PyBufferError::new_err("records must be a whole number of 16-byte records"))
        };
        borrowed.release(py);
        taken
    }
}
