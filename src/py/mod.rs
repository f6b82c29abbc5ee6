//! The Python face: thin classes over the ring core. The only code that touches Python.

mod address;
mod armed;
mod batch;
mod bufring;
mod build;
mod builders;
mod bulk;
mod close;
mod columns;
mod completion;
mod convert;
mod direct;
mod errors;
mod expert;
mod fast;
mod fixed;
mod freelist;
mod gc;
mod graveyard;
mod inner;
mod jobs;
mod keep;
mod kernel;
mod lent;
mod limited;
mod live;
mod made;
mod memory;
mod picked;
#[cfg(debug_assertions)]
mod planted;
mod pool;
mod probe;
mod queue;
mod rawtype;
mod reap;
mod records;
mod register;
mod registry;
mod request;
mod resources;
mod results;
mod ring;
mod selector;
mod sim;
mod sqe;
mod stage;
mod state;
mod statx;
mod submit;
mod tables;
mod tags;
mod trace;
mod tree;

use pyo3::prelude::*;

/// The core ring behind a Python ring.
type Core = crate::ring::Ring<kernel::AnyKernel, keep::Keep>;

/// The compiled half of uring_rs. Import its names from `uring_rs`.
// Needs no GIL. What the GIL kept apart on the builds that have one, locks keep apart on the others:
// see `Owned::LOCKED`, `lent` and `freelist`.
#[pymodule(gil_used = false)]
fn _uring(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add_class::<ring::PyRing>()?;
    m.add_class::<sqe::PySqe>()?;
    m.add_class::<records::PyCqeArray>()?;
    m.add_class::<pool::PyBufferPool>()?;
    m.add_class::<pool::PyFixedBuffer>()?;
    m.add_class::<bufring::PyBufferRing>()?;
    m.add_class::<bufring::PyProvidedBuffers>()?;
    m.add_class::<picked::PyPooledBuffer>()?;
    m.add_class::<fixed::PyRegisteredBuffer>()?;
    m.add_class::<direct::PyDirectFile>()?;
    m.add_class::<direct::PyFileTable>()?;
    m.add_class::<sim::PySimKernel>()?;
    m.add_class::<jobs::read_many::PyReadMany>()?;
    m.add_class::<selector::PyPollSet>()?;
    m.add_class::<statx::PyStatxResult>()?;
    m.add_class::<register::personality::PyPersonality>()?;
    m.add_class::<register::region::PyMemoryRegion>()?;
    m.add_class::<register::zcrx::PyZcrxQueue>()?;
    m.add_class::<register::zcrx::PyZcrxBuffer>()?;
    m.add_class::<queue::PyQueue>()?;
    m.add_class::<queue::completion::PyIoCompletion>()?;
    fast::install(py)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("Request", request::type_object(py)?)?;
    m.add("Completion", completion::type_object(py)?)?;
    m.add_function(wrap_pyfunction!(probe::probe_dict, m)?)?;
    m.add_function(wrap_pyfunction!(tables::_operations, m)?)?;
    m.add_function(wrap_pyfunction!(tables::_register_operations, m)?)?;
    m.add_function(wrap_pyfunction!(tables::_constants, m)?)?;
    m.add_function(wrap_pyfunction!(register::query::_query, m)?)?;
    m.add_function(wrap_pyfunction!(register::message::send_msg, m)?)?;
    tree::install(m)?;
    m.add_class::<jobs::pages::PyPages>()?;
    m.add_class::<jobs::aligned::PyAlignedPool>()?;
    m.add_function(wrap_pyfunction!(jobs::ranges::_read_ranges, m)?)?;
    m.add_function(wrap_pyfunction!(jobs::ranges::_write_ranges, m)?)?;
    m.add_class::<jobs::stream::PyStream>()?;
    m.add_function(wrap_pyfunction!(jobs::stream::_stream, m)?)?;
    m.add_function(wrap_pyfunction!(jobs::write_many::_write_many, m)?)?;
    m.add_function(wrap_pyfunction!(jobs::save::_save, m)?)?;
    m.add_function(wrap_pyfunction!(graveyard::_close_all, m)?)?;
    m.add_function(wrap_pyfunction!(graveyard::_graveyard, m)?)?;
    #[cfg(debug_assertions)]
    // Not into `__all__`: the stub does not know it.
    m.setattr("_plant", wrap_pyfunction!(planted::_plant, m)?)?;
    // While Python is whole: later, what is in flight can only be leaked.
    py.import("atexit")?.call_method1("register", (m.getattr("_close_all")?,))?;
    Ok(())
}
