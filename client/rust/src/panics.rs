// SPDX-License-Identifier: Apache-2.0
//! Where a leader's function panicked. The panic itself is caught by the task that runs the
//! function; only a hook sees the backtrace.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use crate::error::{FunctionError, Kind};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static STACK: RefCell<String> = const { RefCell::new(String::new()) };
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                let stack = format!("{place}\n{}", Backtrace::force_capture());
                STACK.with_borrow_mut(|kept| *kept = stack);
            }
            before(info);
        }));
    });
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

fn error_of(panic: &(dyn Any + Send)) -> FunctionError {
    let mut error = FunctionError::new(text_of(panic)).with_type("panic");
    error.kind = Kind::Panic;
    error.stack = STACK.take();
    error
}

/// Polls the future that `make` makes; a panic of either becomes an error.
pub(crate) struct Caught<F>(F);

pub(crate) async fn caught<M, F, T>(make: M) -> Result<T, FunctionError>
where
    M: FnOnce() -> F,
    F: Future<Output = T> + Unpin,
{
    Caught(watched(make)?).await
}

/// Runs it; a panic becomes an error.
pub(crate) fn watched<T>(run: impl FnOnce() -> T) -> Result<T, FunctionError> {
    install_hook();
    let outer = WATCHED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    WATCHED.set(outer);
    result.map_err(|panic| error_of(panic.as_ref()))
}

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, FunctionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match watched(|| Pin::new(&mut self.0).poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
