//! Work that a worker does after each look at its sockets, for as long as there is some.

use std::{cell::Cell, thread::LocalKey};

use send_wrapper::SendWrapper;

/// Runs `work` after each look at the sockets, until it returns `false`. Does nothing if the task that
/// `is_running` is about does so already.
pub(crate) fn in_each_round(
    is_running: &'static LocalKey<Cell<bool>>,
    mut work: impl FnMut() -> bool + 'static,
) {
    if is_running.replace(true) {
        return;
    }
    let running = Running(is_running);
    // Workers do not steal tasks, so it stays on this thread.
    tokio::spawn(SendWrapper::new(async move {
        let _running = running;
        // The runtime polls its sockets rarely while tasks are ready. A task that yields runs again
        // after that poll, and after the tasks that the poll has woken.
        loop {
            tokio::task::yield_now().await;
            if !work() {
                return;
            }
        }
    }));
}

/// Ends with the task, also where the runtime ends first.
struct Running(&'static LocalKey<Cell<bool>>);

impl Drop for Running {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = self.0.try_with(|is_running| is_running.set(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    thread_local! {
        static RUNNING: Cell<bool> = const { Cell::new(false) };
    }

    #[tokio::test]
    async fn one_task_works_in_each_round_until_there_is_nothing_to_do() {
        let done = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let done = done.clone();
            in_each_round(&RUNNING, move || {
                done.set(done.get() + 1);
                done.get() < 3
            });
            assert!(RUNNING.get());
        }
        while RUNNING.get() {
            tokio::task::yield_now().await;
        }
        assert_eq!(done.get(), 3);
    }

    #[test]
    fn a_runtime_that_ends_leaves_it_to_the_next_one() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(async { in_each_round(&RUNNING, || true) });
        assert!(RUNNING.get());
        drop(runtime);
        assert!(!RUNNING.get());
    }
}
