//! The server's loop: accept, look after the connections, and end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use telemetry_rt::io::{AsyncRead, AsyncWrite};
use telemetry_rt::task::{Id, JoinError, JoinSet};
use telemetry_rt::time::{Duration, Interval, MissedTickBehavior, interval, sleep, timeout};
use tower::{BoxError, Service};

use super::drive::{self, Http, drive};
use super::house::{Hit, House, Permit, Seat};
use super::listener::{self, Accepted, Listener};
use super::patrol::Patrol;
use super::report::{CloseReason, Report};
use super::requests::Taken;
use crate::connection::Connection;

/// When a server ends.
pub(super) struct Closing {
    pub(super) signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) deadline: Duration,
}

/// Serves until `closing` says so.
pub(super) async fn run<L, S, B, R>(
    listener: L,
    service: S,
    house: Arc<House>,
    mut closing: Closing,
) -> io::Result<Report>
where
    L: Listener,
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send + 'static>,
    S: Clone + Send + 'static,
    B: Taken + Send + 'static,
    R: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let mut doors = Doors::new(listener, &house);
    let mut crowd = Crowd::new(house);
    loop {
        telemetry_rt::select! {
            biased;
            () = &mut closing.signal => break,
            () = crowd.change() => {}
            (permit, accepted) = doors.next() => match accepted {
                Ok(accepted) => crowd.welcome(permit, accepted, service.clone()),
                Err(error) => doors.go_on_after(error)?,
            },
        }
    }
    crowd.report.waits_for_room = doors.waits;
    crowd.report.accept_errors = doors.errors;
    // From now on who connects is refused by the operating system.
    drop(doors);
    crowd.leave(closing.deadline).await;
    Ok(crowd.report.clone())
}

/// Where connections come in, as long as there is room.
struct Doors<L> {
    listener: L,
    house: Arc<House>,
    is_full: bool,
    waits: u64,
    errors: u64,
}

impl<L: Listener> Doors<L> {
    fn new(listener: L, house: &Arc<House>) -> Doors<L> {
        Doors {
            listener,
            house: Arc::clone(house),
            is_full: false,
            waits: 0,
            errors: 0,
        }
    }

    /// Cancel safe.
    async fn next(&mut self) -> (Permit, io::Result<Accepted<L::Handshake>>) {
        let permit = match self.house.seat_now() {
            Some(permit) => permit,
            None => self.wait_for_room().await,
        };
        self.is_full = false;
        (permit, self.listener.accept().await)
    }

    #[cold]
    async fn wait_for_room(&mut self) -> Permit {
        // A wait is one, however often this is dropped and called again.
        if !std::mem::replace(&mut self.is_full, true) {
            self.waits += 1;
            self.house.count_hit(Hit::Connections);
        }
        self.house.seat().await
    }

    #[cold]
    fn go_on_after(&mut self, error: io::Error) -> io::Result<()> {
        self.errors += 1;
        self.house.count_accept_error(&error);
        if listener::passes(&error) {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// The connections that are open.
struct Crowd {
    house: Arc<House>,
    http: Arc<Http>,
    tasks: JoinSet<CloseReason>,
    patrol: Patrol,
    rounds: Interval,
    report: Report,
}

impl Crowd {
    fn new(house: Arc<House>) -> Crowd {
        let mut rounds = interval(house.limits.round());
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Crowd {
            http: Arc::new(drive::http(&house.limits)),
            house,
            tasks: JoinSet::new(),
            patrol: Patrol::default(),
            rounds,
            report: Report::default(),
        }
    }

    fn welcome<H, Io, S, B, R>(&mut self, permit: Permit, accepted: Accepted<H>, service: S)
    where
        H: Future<Output = io::Result<Io>> + Send + 'static,
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Taken + Send + 'static,
        R: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        self.report.accepted += 1;
        let connection = Connection::in_house(accepted.peer, accepted.local, &self.house);
        let seat = Seat::take(&self.house, permit);
        let (http, own) = (Arc::clone(&self.http), connection.clone());
        let task = async move { drive(accepted.handshake, seat, own, service, &http).await };
        // A root: a connection is no part of what the server's own task does.
        let builder = self.tasks.build_task().name("http connection").root();
        self.patrol.add(builder.spawn(task).id(), connection);
    }

    /// Waits until something is to be done, and does it. Cancel safe.
    async fn change(&mut self) {
        telemetry_rt::select! {
            biased;
            Some(ended) = self.tasks.join_next_with_id() => self.bury(ended),
            _ = self.rounds.tick() => self.patrol.go_round(&self.house.limits),
        }
    }

    fn bury(&mut self, ended: Result<(Id, CloseReason), JoinError>) {
        let (task, reason) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => (error.id(), CloseReason::Panic),
            Err(error) => (error.id(), CloseReason::Deadline),
        };
        self.patrol.remove(task);
        self.report.count_closed(reason);
        self.house.count_closed(reason);
    }

    /// Lets the connections finish, until the deadline.
    async fn leave(&mut self, deadline: Duration) {
        self.patrol.finish_all(CloseReason::Shutdown);
        if timeout(deadline, self.emptied()).await.is_err() {
            self.cut_off().await;
        }
    }

    async fn emptied(&mut self) {
        while !self.tasks.is_empty() {
            self.change().await;
        }
    }

    async fn cut_off(&mut self) {
        self.report.requests_cut_off = self.in_flight();
        self.patrol.give_up();
        let connections: Vec<Connection> = self.patrol.connections().cloned().collect();
        self.patrol.close_all(CloseReason::Deadline);
        let ends = async {
            self.emptied().await;
            answered(&connections).await;
        };
        // A task that keeps its worker without awaiting anything cannot be waited for.
        let _ = timeout(LAST_WAIT, ends).await;
    }

    fn in_flight(&self) -> u64 {
        in_flight(self.patrol.connections())
    }
}

/// For tasks that have been told to drop all they have.
const LAST_WAIT: Duration = Duration::from_secs(1);

fn in_flight<'a>(connections: impl IntoIterator<Item = &'a Connection>) -> u64 {
    let signs = connections
        .into_iter()
        .map(|connection| connection.vitals().signs());
    signs.map(|signs| u64::from(signs.in_flight)).sum()
}

/// Waits for the requests of HTTP/2, which have tasks of their own: they notice that their connection
/// is gone.
async fn answered(connections: &[Connection]) {
    while in_flight(connections) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A server that is dropped takes its connections with it: their tasks are aborted by the set.
impl Drop for Crowd {
    fn drop(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.bury(ended);
        }
        self.patrol.give_up();
        for _ in self.patrol.connections() {
            self.house.count_closed(CloseReason::Deadline);
        }
    }
}
