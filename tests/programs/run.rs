//! How is a program run? Each step as a user would write it, and each promise that can be checked
//! on the way is.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceContextExt};
use opentelemetry_sdk::Resource;
use telemetry_rt::otel::{
    ExportError, Exporter, InMemory, Metric, NameList, Otel, OtelBuilder, SpanBatch,
    set_diagnostics,
};
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task::{self, JoinHandle, JoinSet, block_in_place, yield_now};
use telemetry_rt::time::error::Elapsed;
use telemetry_rt::time::{sleep, timeout};
use telemetry_rt::{select, span, span_builder};

use crate::language::{Body, End, Export, Flavour, Op, Program, SetEnd};
use crate::verdict::{self, Seen};
use crate::world::{Alive, Boxed, Fate, Kind, Out, Watched, World, current_span};

/// How many milliseconds the whole program may take, and how many a join before it aborts.
const ALL: u8 = 25;
const A_JOIN: u8 = 3;
const IN_PLACE: u8 = 2;
/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(7 * 24 * 3600);
const SHUTDOWN: Duration = Duration::from_secs(30);

/// What is said of a program although it is not so, to see that it is found out.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    ATaskMore,
    AnotherEnd,
    ADropMore,
    AnotherParent,
}

/// Runs a program to its end and beyond, and tells all that is wrong.
pub fn run(program: &Program, flavour: Flavour) -> Vec<String> {
    run_with(program, flavour, None)
}

pub fn run_with(program: &Program, flavour: Flavour, lie: Option<Lie>) -> Vec<String> {
    let world = World::new(program.bodies());
    let memory = InMemory::new();
    let runtime = runtime(program, flavour, &memory);
    let handle = runtime.handle().clone();
    run_root(program, flavour, &world, &runtime);
    world.ends.store(true, SeqCst);
    let report = runtime.shutdown(SHUTDOWN).expect("it exports");
    let spans = memory.spans();
    use_after_the_end(&world, &handle);
    if memory.spans().len() != spans.len() {
        world.wrong("there are spans from after the shutdown".to_owned());
    }
    let mut fates = world.fates();
    if let Some(lie) = lie {
        lie.tell(&mut fates);
    }
    let seen = Seen {
        report,
        spans,
        metrics: memory.metrics(),
        is_whole: program.export == Export::Whole,
        futures: world.futures.load(SeqCst),
    };
    verdict::judge(&world, &fates, &seen);
    world.wrongs()
}

fn run_root(program: &Program, flavour: Flavour, world: &Arc<World>, runtime: &Runtime) {
    let place = Place {
        world: Arc::clone(world),
        flavour,
        traces_futures: program.trace_futures,
        own: SpanId::INVALID,
    };
    world.begins(0, Kind::Root);
    let body = program.root.clone();
    let inside = Box::pin(async move {
        let place = place.here();
        let all = place.limited(ALL, |place| steps(place, body));
        all.await.unwrap_or(Ok(()))
    });
    let root = Watched::new(place_of(world, 0), inside);
    // A root that panics is as good as any.
    drop(catch_unwind(AssertUnwindSafe(|| runtime.block_on(root))));
}

fn place_of(world: &Arc<World>, number: usize) -> Alive {
    Alive {
        world: Arc::clone(world),
        number,
    }
}

/// Handles, wakers and abort handles that outlive the runtime do no harm, and nothing else.
fn use_after_the_end(world: &World, handle: &Handle) {
    world.use_what_is_left();
    let late = handle.spawn(async {});
    let function = handle.spawn_blocking(|| ());
    for join in [late, function] {
        let result = futures_lite::future::block_on(join);
        if !result.is_err_and(|error| error.is_cancelled()) {
            world.wrong("what is spawned after the end is not cancelled".to_owned());
        }
    }
}

impl Lie {
    fn tell(self, fates: &mut Vec<Fate>) {
        match self {
            Lie::ATaskMore => fates.push(fates[1].clone()),
            Lie::AnotherEnd => fates[1].ended = None,
            Lie::ADropMore => fates[1].drops += 1,
            Lie::AnotherParent => fates[1].parent = Some(SpanId::from(1)),
        }
    }
}

// ----- the runtime -----

fn runtime(program: &Program, flavour: Flavour, memory: &InMemory) -> Runtime {
    let mut builder = match flavour {
        Flavour::Paused | Flavour::Current => Builder::new_current_thread(),
        Flavour::Workers(_) => Builder::new_multi_thread(),
    };
    if let Flavour::Workers(workers) = flavour {
        builder.worker_threads(workers);
    }
    let otel = otel(program, memory).build();
    // Exporters of programs refuse spans on purpose.
    set_diagnostics(|_| ());
    builder
        .enable_all()
        .start_paused(flavour == Flavour::Paused)
        .otel(otel)
        .build()
        .expect("a runtime")
}

/// Recording that depends neither on the environment nor on the speed of the machine.
fn otel(program: &Program, memory: &InMemory) -> OtelBuilder {
    let otel = Otel::builder()
        .sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .task_names(NameList::all())
        .blocking_names(NameList::all())
        .trace_futures(program.trace_futures)
        .slow_poll(NEVER)
        .stall(None)
        .most_children(1 << 20)
        .longest_parent(NEVER)
        .schedule_delay(NEVER)
        .metric_interval(NEVER)
        .exporter(memory.clone());
    match program.export {
        Export::Whole => otel.queue_size(1 << 12).batch_size(512),
        Export::Lossy { queue, refuse } => {
            otel.queue_size(queue).batch_size(queue).exporter(Refuses {
                each: refuse,
                batches: 0,
            })
        }
    }
}

/// An exporter that refuses every so manieth batch.
#[derive(Debug)]
struct Refuses {
    each: usize,
    batches: usize,
}

impl Exporter for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }

    fn export_batch(&mut self, _: &mut SpanBatch<'_>, _: &Resource) -> Result<(), ExportError> {
        self.batches += 1;
        match self.batches % self.each {
            0 => Err(ExportError::new("as the program says")),
            _ => Ok(()),
        }
    }

    fn export_metrics(&mut self, _: &[Metric], _: &Resource) -> Result<(), ExportError> {
        Ok(())
    }
}

// ----- steps -----

/// Where a body runs.
#[derive(Clone)]
struct Place {
    world: Arc<World>,
    flavour: Flavour,
    traces_futures: bool,
    /// The span that has to be current.
    own: SpanId,
}

impl Place {
    /// The same, within whatever span is current.
    fn here(&self) -> Place {
        self.within(current_span())
    }

    fn within(&self, own: SpanId) -> Place {
        Place {
            own,
            ..self.clone()
        }
    }

    fn alive(&self, number: usize) -> Alive {
        place_of(&self.world, number)
    }

    fn check_span(&self, when: &str) {
        let current = current_span();
        if current != self.own {
            let own = self.own;
            self.world
                .wrong(format!("{when} {current} is current instead of {own}"));
        }
    }

    /// A future that is given so many milliseconds.
    async fn limited<F: Future>(
        &self,
        millis: u8,
        future: impl FnOnce(Place) -> F,
    ) -> Result<F::Output, Elapsed> {
        if self.traces_futures {
            self.world.futures.fetch_add(1, SeqCst);
        }
        let inside = async { future(self.here()).await };
        timeout(Duration::from_millis(millis.into()), inside).await
    }
}

/// A handle, and of which body.
struct Kept(usize, JoinHandle<Out>);

/// Does all steps of a body, and ends as it says.
fn steps(place: Place, body: Body) -> Boxed<Result<(), ()>> {
    Box::pin(async move {
        let mut handles = Vec::new();
        for op in body.ops {
            let what = format!("before {op:?}");
            place.check_span(&what);
            step(&place, &mut handles, op).await;
            place.check_span(&format!("after what is told {what}"));
        }
        end(body.end).await
    })
}

async fn end(end: End) -> Result<(), ()> {
    match end {
        End::Value => Ok(()),
        End::Refuse => Err(()),
        End::Panic => panic!("planned"),
        End::Forever => pending().await,
    }
}

async fn step(place: &Place, handles: &mut Vec<Kept>, op: Op) {
    match op {
        Op::Yield(times) => {
            for _ in 0..times {
                yield_now().await;
            }
        }
        Op::Sleep(millis) => sleep(Duration::from_millis(millis.into())).await,
        Op::Spawn(body) => handles.push(spawn(place, body)),
        Op::Function(body) => handles.push(spawn_function(place, body)),
        Op::Join(which) => join(place, take(handles, which)).await,
        Op::Abort(which) => abort(place, handles, which),
        Op::AbortAny(which) => place.world.abort_any(which.into()),
        Op::Detach(which) => drop(take(handles, which)),
        Op::Send(to, millis) => send(place, to, millis).await,
        Op::Receive(from, millis) => receive(place, from, millis).await,
        Op::Timeout(millis, body) => drop(place.limited(millis, |at| steps(at, body)).await),
        Op::Guard(body) => with_guard(place, body).await,
        Op::Around(body) => around(place, body).await,
        Op::Both(one, other) => {
            telemetry_rt::join!(around(place, one), around(place, other));
        }
        Op::First(one, other) => select! {
            () = around(place, one) => {}
            () = around(place, other) => {}
        },
        Op::Set(bodies, end) => set(place, bodies, end).await,
        Op::InPlace(body) => in_place(place, body),
    }
}

fn take(handles: &mut Vec<Kept>, which: u8) -> Option<Kept> {
    match handles.len() {
        0 => None,
        many => Some(handles.remove(usize::from(which) % many)),
    }
}

/// The future of a task.
fn task(place: &Place, body: Body) -> Watched {
    place.world.begins(body.number, Kind::Task);
    let (alive, place) = (place.alive(body.number), place.clone());
    let inside = Box::pin(async move { steps(place.here(), body).await });
    Watched::new(alive, inside)
}

fn spawn(place: &Place, body: Body) -> Kept {
    let number = body.number;
    let name = format!("t{number}");
    let handle = task::Builder::new().name(&name).spawn(task(place, body));
    place.world.spawned(number, handle.abort_handle());
    Kept(number, handle)
}

async fn join(place: &Place, kept: Option<Kept>) {
    let Some(Kept(number, mut handle)) = kept else {
        return;
    };
    let result = match place.limited(A_JOIN, |_| &mut handle).await {
        Ok(result) => result,
        Err(_) => {
            place.world.asked_to_abort(number);
            handle.abort();
            handle.await
        }
    };
    place.world.joined(number, result);
}

fn abort(place: &Place, handles: &[Kept], which: u8) {
    if !handles.is_empty() {
        let Kept(number, handle) = &handles[usize::from(which) % handles.len()];
        place.world.asked_to_abort(*number);
        handle.abort();
    }
}

async fn send(place: &Place, to: u8, millis: u8) {
    let world = &place.world;
    let channel = &world.channels[usize::from(to) % world.channels.len()];
    drop(place.limited(millis, |_| channel.send()).await);
}

async fn receive(place: &Place, from: u8, millis: u8) {
    let world = &place.world;
    let channel = &world.channels[usize::from(from) % world.channels.len()];
    drop(place.limited(millis, |_| channel.receive(world)).await);
}

async fn with_guard(place: &Place, body: Body) {
    place.world.begins(body.number, Kind::Span);
    let guard = span(format!("s{}", body.number));
    let own = guard.context().span().span_context().span_id();
    let _ = steps(place.within(own), body).await;
}

async fn around(place: &Place, body: Body) {
    let number = body.number;
    place.world.begins(number, Kind::Span);
    let inside = async { steps(place.here(), body).await };
    let _ = span_builder(format!("s{number}")).around(inside).await;
}

fn in_place(place: &Place, body: Body) {
    if matches!(place.flavour, Flavour::Workers(_)) {
        // Of `block_on`, whose future is a process, always.
        place.world.futures.fetch_add(1, SeqCst);
        let inside = async {
            let here = place.here();
            drop(here.limited(IN_PLACE, |at| steps(at, body)).await);
        };
        block_in_place(|| Handle::current().block_on(inside));
    }
}

// ----- functions on the pool -----

fn spawn_function(place: &Place, body: Body) -> Kept {
    let number = body.number;
    place.world.begins(number, Kind::Function);
    let (alive, place) = (place.alive(number), place.clone());
    let abort = Arc::clone(&place.world);
    let handle = task::Builder::new()
        .name(&format!("f{number}"))
        .spawn_blocking(move || call(place, alive, body));
    abort.spawned(number, handle.abort_handle());
    Kept(number, handle)
}

fn call(place: Place, alive: Alive, body: Body) -> Out {
    let place = place.here();
    let entered = alive.enter();
    let end = body.end;
    steps_of_function(&place, body);
    let out = match end {
        End::Value | End::Forever => Ok(alive.output()),
        End::Refuse => Err(alive.output()),
        End::Panic => panic!("planned"),
    };
    drop(entered);
    alive.ended(&out);
    out
}

/// Does what a function can do of a body.
fn steps_of_function(place: &Place, body: Body) {
    for op in body.ops {
        place.check_span("in a function");
        match op {
            Op::Yield(_) => thread::yield_now(),
            Op::Sleep(millis) => thread::sleep(Duration::from_micros(u64::from(millis) * 100)),
            Op::Spawn(body) => drop(spawn(place, body)),
            Op::Function(body) => drop(spawn_function(place, body)),
            Op::AbortAny(which) => place.world.abort_any(which.into()),
            Op::Guard(body) => {
                place.world.begins(body.number, Kind::Span);
                let guard = span(format!("s{}", body.number));
                let own = guard.context().span().span_context().span_id();
                steps_of_function(&place.within(own), body);
            }
            _ => {}
        }
    }
}

// ----- sets -----

/// A set of tasks, which aborts those that are in it when it is dropped.
struct Tasks {
    place: Place,
    set: JoinSet<Out>,
    /// Those that the set may abort.
    numbers: Vec<usize>,
}

impl Tasks {
    fn are_aborted(&self) {
        for number in &self.numbers {
            self.place.world.asked_to_abort(*number);
        }
    }

    fn spawn(&mut self, body: Body) {
        let number = body.number;
        let name = format!("t{number}");
        let task = task(&self.place, body);
        self.numbers.push(number);
        let abort = self.set.build_task().name(&name).spawn(task);
        self.place.world.spawned(number, abort);
    }

    async fn join(&mut self) {
        let place = self.place.clone();
        loop {
            match place.limited(A_JOIN, |_| self.set.join_next()).await {
                Ok(None) => return,
                Ok(Some(result)) => {
                    let number = match &result {
                        Ok(Ok(output) | Err(output)) => Some(output.number()),
                        Err(error) => place.world.number_of(error.id()),
                    };
                    let number = number.expect("it was spawned");
                    place.world.joined(number, result);
                }
                Err(_) => {
                    self.are_aborted();
                    self.set.abort_all();
                }
            }
        }
    }

    async fn shutdown(&mut self) {
        self.are_aborted();
        self.set.shutdown().await;
        for number in &self.numbers {
            if !self.place.world.is_dropped(*number) {
                let wrong = format!("#{number} lives after the shutdown of its set");
                self.place.world.wrong(wrong);
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.are_aborted();
    }
}

async fn set(place: &Place, bodies: Vec<Body>, end: SetEnd) {
    let mut tasks = Tasks {
        place: place.clone(),
        set: JoinSet::new(),
        numbers: Vec::new(),
    };
    for body in bodies {
        tasks.spawn(body);
        yield_now().await;
    }
    match end {
        SetEnd::Join => tasks.join().await,
        SetEnd::Shutdown => tasks.shutdown().await,
        SetEnd::Drop => {}
        SetEnd::Detach => {
            tasks.set.detach_all();
            tasks.numbers.clear();
        }
    }
}
