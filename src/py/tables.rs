//! The tables of `sys` as Python data: what `info`, the reference pages and the tests read.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::sys::consts;
use crate::sys::opcode::{OpInfo, Pointer, OPS};
use crate::sys::register::{RegisterInfo, REGISTER_OPS};

type Row<'py> = Bound<'py, PyDict>;

/// The name of a variant as Python has it.
fn word(value: impl core::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn pointer<'py>(py: Python<'py>, pointer: &Pointer) -> PyResult<Row<'py>> {
    let dict = PyDict::new(py);
    dict.set_item("field", word(pointer.field))?;
    dict.set_item("what", pointer.what)?;
    dict.set_item("until", word(pointer.lifetime))?;
    dict.set_item("indirect", pointer.indirect)?;
    Ok(dict)
}

fn operation<'py>(py: Python<'py>, info: &OpInfo) -> PyResult<Row<'py>> {
    let pointers: Vec<_> =
        info.pointers.iter().map(|each| pointer(py, each)).collect::<PyResult<_>>()?;
    let dict = PyDict::new(py);
    dict.set_item("name", info.name)?;
    dict.set_item("number", info.number)?;
    dict.set_item("since", info.since)?;
    dict.set_item("method", info.method)?;
    dict.set_item("result", word(info.result))?;
    dict.set_item("memory", word(info.lifetime))?;
    dict.set_item("pointers", PyTuple::new(py, pointers)?)?;
    dict.set_item("multishot", info.multishot)?;
    dict.set_item("zero_copy", info.zero_copy)?;
    dict.set_item("fixed_buffer", info.fixed_buffer)?;
    dict.set_item("buffer_select", info.buffer_select)?;
    dict.set_item("direct", info.direct)?;
    Ok(dict)
}

fn register_operation<'py>(py: Python<'py>, info: &RegisterInfo) -> PyResult<Row<'py>> {
    let dict = PyDict::new(py);
    dict.set_item("name", info.name)?;
    dict.set_item("number", info.number)?;
    dict.set_item("since", info.since)?;
    dict.set_item("needs_ring", info.needs_ring)?;
    Ok(dict)
}

/// The table of operations, by number: a dict for each.
#[pyfunction]
pub(crate) fn _operations(py: Python<'_>) -> PyResult<Vec<Row<'_>>> {
    OPS.iter().map(|info| operation(py, info)).collect()
}

/// The table of register operations, by number: a dict for each.
#[pyfunction]
pub(crate) fn _register_operations(py: Python<'_>) -> PyResult<Vec<Row<'_>>> {
    REGISTER_OPS.iter().map(|info| register_operation(py, info)).collect()
}

/// Every constant of the interface: name, value, what it means.
#[pyfunction]
pub(crate) fn _constants() -> Vec<(&'static str, i128, &'static str)> {
    consts::all().map(|constant| (constant.name, constant.value, constant.doc)).collect()
}
