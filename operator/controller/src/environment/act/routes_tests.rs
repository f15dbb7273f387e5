#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{Answer, ApiServer, context, environment};

const TOKEN: &str = "0123456789abcdef";

fn check() -> Verify {
    Verify {
        token: TOKEN.to_owned(),
        // nobody listens there
        url: "http://127.0.0.1:9".to_owned(),
        host: None,
        path: format!("/.well-known/dcanary/{TOKEN}"),
        leads_to: format!("{TOKEN}.dcanary.invalid"),
    }
}

fn desk() -> Arc<Context> {
    let ctx = context(ApiServer::start(|_| Answer::error(404, "NotFound", "nothing")).client());
    ctx.environments.memory.freshest(&environment("env-1"));
    ctx
}

async fn problem(ctx: &Context) -> String {
    let mut woken = ctx.environments.woken().unwrap();
    let wait = async {
        loop {
            let check = ctx.environments.memory.with("env-1", |memory| memory.check());
            if let Some(check) = check {
                return check.shown.unwrap_err();
            }
            woken.recv().await.unwrap();
        }
    };
    timeout(LIMIT, wait).await.unwrap()
}

#[tokio::test]
async fn a_gateway_is_asked_however_many_samples_are_being_taken() {
    let ctx = desk();
    let mut places = Vec::new();
    for number in 0..64 {
        places.push(ctx.environments.samples.place(&format!("other-{number}")).await);
    }
    assert_eq!(ctx.environments.samples.free(), 0);
    verify(&ctx, &environment("env-1"), &check());
    let problem = problem(&ctx).await;
    assert!(problem.starts_with("cannot be reached"), "{problem}");
}

#[tokio::test]
async fn a_gateway_that_is_not_asked_in_time_is_told() {
    let ctx = desk();
    let mut places = Vec::new();
    for number in 0..32 {
        places.push(ctx.environments.gateways.place(&format!("other-{number}")).await);
    }
    verify_within(&ctx, &environment("env-1"), &check(), Duration::from_millis(10));
    let problem = problem(&ctx).await;
    assert!(
        problem.starts_with("cannot be asked: that took more than"),
        "{problem}"
    );
    assert!(
        ctx.environments
            .memory
            .with("env-1", |memory| memory.ask_gateway(TOKEN)),
        "it can be asked again"
    );
}
