//! The shape of a web server, without a network: clients, a task for each request, and a database
//! that the request asks. The idea is async-executor's benchmark of the name.

use tokio::sync::{mpsc, oneshot};

use super::{Done, Workload, sum_below};
use crate::runtime::Runtime;

/// Clients that ask at the same time, each one request after the other.
const CLIENTS: usize = 50;

/// Tasks of the database.
const CONNECTIONS: usize = 5;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![Workload::new("web_server", 5_000, |_| Box::new(web_server))]
}

/// A question, and the way back for the answer.
type Question = (usize, oneshot::Sender<usize>);

fn web_server<R: Runtime>(runtime: &R, size: usize) -> Done {
    let each = (size / CLIENTS).max(1);
    let all = async move {
        let (requests, received) = mpsc::channel(CLIENTS);
        R::spawn_detached(server::<R>(received));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| R::spawn(client(requests.clone(), each)))
            .collect();
        let mut sum = 0;
        for client in clients {
            sum += client.await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    let requests = CLIENTS * each;
    let processes = requests + CLIENTS + CONNECTIONS + 3;
    let expected = CLIENTS * (sum_below(each) + each);
    Done::checked((requests, processes), sum, expected)
}

async fn client(requests: mpsc::Sender<Question>, number: usize) -> usize {
    let mut sum = 0;
    for index in 0..number {
        sum += ask(&requests, index).await;
    }
    sum
}

/// Spawns a task for each request.
async fn server<R: Runtime>(mut requests: mpsc::Receiver<Question>) {
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (queries, received) = mpsc::channel(CLIENTS);
            R::spawn_detached(database::<R>(received));
            queries
        })
        .collect();
    let mut turns = connections.iter().cycle();
    while let Some((question, reply)) = requests.recv().await {
        let connection = turns.next().expect("there are some").clone();
        R::spawn_detached(async move {
            let answer = ask(&connection, question).await;
            reply.send(answer).expect("the client waits");
        });
    }
}

/// Answers what it is asked, and lets others have their turn before each answer.
async fn database<R: Runtime>(mut queries: mpsc::Receiver<Question>) {
    while let Some((question, reply)) = queries.recv().await {
        R::yield_now().await;
        reply.send(question + 1).expect("the request waits");
    }
}

async fn ask(whom: &mpsc::Sender<Question>, question: usize) -> usize {
    let (reply, answer) = oneshot::channel();
    let sent = whom.send((question, reply)).await;
    sent.expect("it lives as long as somebody asks");
    answer.await.expect("it answers")
}
