//! The recorder without a scheduler: it is told what a worker would tell it.

use std::panic::Location;

use telemetry_rt::otel::Pipeline;
use telemetry_rt_telemetry::record::{
    Ending, Lineage, Meta, Outcome, PollEnd, PollGuard, ProcessType, Recorder, Scribe, Spawning,
    Waiting, WakeCause,
};

use crate::count::counted_thread;
use crate::hosts::Mode;

static TASK: Meta = Meta::of::<(), usize>(ProcessType::Task);

/// Does so many operations: `record_task` is a process that is spawned, polled once, and ends;
/// `record_poll` is a wake and a poll of one that goes on.
pub fn run(workload: &str, mode: Mode, operations: usize) {
    counted_thread();
    let otel = mode.otel();
    let recorder = Recorder::new(otel.recorder_config(1));
    let worker = recorder.worker(0);
    let pipeline = Pipeline::start(otel, recorder.clone()).expect("its threads start");
    let at_work = worker.at_work(WakeCause::Task);
    worker.on_duty();
    match workload {
        "record_task" => (0..operations).for_each(|id| process(&recorder, &worker, id as u64, 1)),
        "record_poll" => process(&recorder, &worker, 0, operations),
        _ => panic!("{workload:?} is no workload of the recorder"),
    }
    worker.off_duty();
    drop(at_work);
    let report = pipeline.shutdown(crate::LONG);
    assert_eq!(report.spans.dropped.total(), 0, "a dropped span costs less");
}

/// A process from its birth to its end after so many polls.
fn process(recorder: &Recorder, worker: &Scribe, id: u64, polls: usize) {
    let mut account = recorder.spawned(Spawning {
        meta: &TASK,
        name: None,
        site: Location::caller(),
        lineage: Lineage::Inherit,
    });
    let wake = account.first_wake();
    let process = &mut account.process(id, ProcessType::Task);
    for poll in 1..=polls {
        let ends = poll == polls;
        if poll > 1 {
            wake.woken(|| id, || None);
        }
        let mut guard = PollGuard::default();
        worker.poll_started(&mut guard, process, &wake);
        wake.answered();
        let end = PollEnd {
            wakes: 1,
            waiting: (!ends).then_some(Waiting::Other),
            exhausted: false,
        };
        worker.poll_ended(&mut guard, process, end);
    }
    drop(worker.ended(process, Ending::Returned(Outcome::Finished)));
}
