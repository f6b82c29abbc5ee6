//! `os.stat_result`, made as module os makes it: users get the type they know, with all it has.

use core::ffi::c_long;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::sys::tree::{Stat, Time};
use crate::sys::Errno;

/// The fields that Linux's has: ten to be seen in the tuple, then times as floats and in
/// nanoseconds, then st_blksize, st_blocks and st_rdev.
const FIELDS: usize = 19;

/// The type, and whether its fields are those known here.
pub(crate) struct StatType {
    class: Py<PyType>,
    known: bool,
}

static CLASS: PyOnceLock<StatType> = PyOnceLock::new();

impl StatType {
    /// Module os's.
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static StatType> {
        CLASS.get_or_try_init(py, || {
            let class = py.import("os")?.getattr("stat_result")?.cast_into::<PyType>()?;
            let fields: usize = class.getattr("n_fields")?.extract()?;
            Ok(StatType { class: class.unbind(), known: fields == FIELDS })
        })
    }

    /// One result.
    pub(crate) fn make<'py>(&self, py: Python<'py>, stat: &Stat) -> PyResult<Bound<'py, PyAny>> {
        if !self.known {
            return self.make_by_name(py, stat);
        }
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: the type of a struct sequence, held for good; a new reference comes back (I6).
        let made = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyStructSequence_New(class))? };
        let mut index = 0;
        let mut put = |value: *mut ffi::PyObject| {
            if value.is_null() {
                return Err(PyErr::fetch(py));
            }
            // SAFETY: `index` stays below the number of fields, which was looked at; the reference
            // is handed over, to an object that nobody else has seen (I6).
            unsafe { ffi::PyStructSequence_SetItem(made.as_ptr(), index, value) };
            index += 1;
            Ok(())
        };
        // SAFETY: plain numbers become new references, each put away at once (I6).
        unsafe {
            put(ffi::PyLong_FromLong(stat.mode as c_long))?;
            put(ffi::PyLong_FromUnsignedLongLong(stat.ino))?;
            put(ffi::PyLong_FromUnsignedLongLong(stat.dev))?;
            put(ffi::PyLong_FromUnsignedLongLong(stat.nlink))?;
            put(id(stat.uid))?;
            put(id(stat.gid))?;
            put(ffi::PyLong_FromLongLong(stat.size))?;
            let times = [stat.atime, stat.mtime, stat.ctime];
            for time in times {
                put(ffi::PyLong_FromLongLong(time.sec))?;
            }
            for time in times {
                put(ffi::PyFloat_FromDouble(seconds(time)))?;
            }
            for time in times {
                put(nanoseconds(py, time))?;
            }
            put(ffi::PyLong_FromLongLong(stat.blksize))?;
            put(ffi::PyLong_FromLongLong(stat.blocks))?;
            put(ffi::PyLong_FromUnsignedLongLong(stat.rdev))?;
        }
        Ok(made)
    }

    /// The same for a Python whose type has other fields, by their names.
    #[cold]
    fn make_by_name<'py>(&self, py: Python<'py>, stat: &Stat) -> PyResult<Bound<'py, PyAny>> {
        let [atime, mtime, ctime] = [stat.atime, stat.mtime, stat.ctime];
        let seen = (
            (stat.mode, stat.ino, stat.dev, stat.nlink, stat.uid),
            (stat.gid, stat.size, atime.sec, mtime.sec, ctime.sec),
        );
        let seen = seen.0.into_pyobject(py)?.add(seen.1.into_pyobject(py)?)?;
        let seen = seen.cast_into::<PyTuple>()?;
        let more = PyDict::new(py);
        for (name, time) in [("st_atime", atime), ("st_mtime", mtime), ("st_ctime", ctime)] {
            more.set_item(name, seconds(time))?;
            let ns = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
            more.set_item(format!("{name}_ns"), ns)?;
        }
        more.set_item("st_blksize", stat.blksize)?;
        more.set_item("st_blocks", stat.blocks)?;
        more.set_item("st_rdev", stat.rdev)?;
        self.class.bind(py).call1((seen, more))
    }
}

/// A user or a group: the number for "none" is -1, as module os has it.
///
/// # Safety
/// Attached to the interpreter.
unsafe fn id(id: u32) -> *mut ffi::PyObject {
    let id = if id == u32::MAX { -1 } else { i64::from(id) };
    // SAFETY: a plain number; the caller's promise (I6).
    unsafe { ffi::PyLong_FromLongLong(id) }
}

fn seconds(time: Time) -> f64 {
    time.sec as f64 + 1e-9 * time.nsec as f64
}

/// A new reference, or null with an exception set.
fn nanoseconds(py: Python<'_>, time: Time) -> *mut ffi::PyObject {
    match time.sec.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(time.nsec)) {
        // SAFETY: a plain number; attached (I6).
        Some(ns) => unsafe { ffi::PyLong_FromLongLong(ns) },
        None => {
            let ns = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
            let Ok(ns) = ns.into_pyobject(py);
            ns.into_any().into_ptr()
        }
    }
}

/// The exception that module os would have raised.
pub(crate) fn os_error<'py>(
    py: Python<'py>,
    errno: Errno,
    path: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = py.get_type::<pyo3::exceptions::PyOSError>();
    class.call1((errno.0, errno.message(), path))
}
