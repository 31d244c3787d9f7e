//! What goes wrong in the testbed is a panic, made for tests; here it is a line like any other failure.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
};

use crate::step::Failure;

/// From now on panics say nothing by themselves.
pub(super) fn silence_panics() {
    set_hook(Box::new(|_| {}));
}

/// Does it; a panic is a failure with what it says.
pub(super) fn attempt<T>(what: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| Err(Failure(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let said = |failure: Result<(), Failure>| failure.map_err(|failure| failure.0);
        let tool = "iperf3";
        assert_eq!(said(attempt(|| panic!("`{tool}` is missing"))), Err("`iperf3` is missing".into()));
        assert_eq!(said(attempt(|| panic!("gone"))), Err("gone".into()));
        assert_eq!(said(attempt(|| Ok(()))), Ok(()));
    }
}
