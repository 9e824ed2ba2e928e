//! Who asks: so many requests, some at a time, most of them orders.

use std::collections::BTreeMap;

use telemetry_rt::task::{Builder, JoinSet};
use telemetry_rt::time::Instant;
use telemetry_rt_http::Client;

use crate::Failure;

/// How many of the requests were answered by what.
type Answers = BTreeMap<String, usize>;

pub async fn run(frontend: &str, requests: usize, at_once: usize) -> Result<(), Failure> {
    let client = Client::new();
    let start = Instant::now();
    // By itself: others look at the first order.
    let mut answers = shop(client.clone(), frontend.to_owned(), vec![0]).await;
    let mut customers = JoinSet::new();
    for first in 1..=at_once {
        let numbers = (first..requests).step_by(at_once);
        customers.spawn(shop(client.clone(), frontend.to_owned(), numbers.collect()));
    }
    while let Some(customer) = customers.join_next().await {
        for (answer, count) in customer? {
            *answers.entry(answer).or_default() += count;
        }
    }
    println!("{requests} requests in {:.1?}", start.elapsed());
    for (answer, count) in answers {
        println!("{count:>8} {answer}");
    }
    Ok(())
}

/// One customer, who asks for one thing after the other: each is a trace of its own.
async fn shop(client: Client, frontend: String, numbers: Vec<usize>) -> Answers {
    let mut answers = Answers::new();
    for number in numbers {
        let asked = ask(client.clone(), frontend.clone(), number);
        let visit = Builder::new().name("visit").root().spawn(asked).await;
        let answer = visit.unwrap_or_else(|error| error.to_string());
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

async fn ask(client: Client, frontend: String, number: usize) -> String {
    let (request, what) = match number % 10 {
        3 => (
            client.post(format!("http://{frontend}/broken")),
            "POST /broken",
        ),
        7 => (client.get(format!("http://{frontend}/slow")), "GET /slow"),
        _ => (
            client.post(format!("http://{frontend}/checkout/tea-{number}")),
            "POST /checkout",
        ),
    };
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            // To its end: the connection can be used again, and the span is complete.
            let read = response.into_body().bytes().await;
            read.map_or_else(|error| error.to_string(), |_| format!("{what}: {status}"))
        }
        Err(error) => format!("{what}: {error}"),
    }
}
