//! What the system tells a canister, function by function.

use crate::answers::Answers;
use ic_cdk::{api, stable};

fn answers() -> Answers {
    let caller = api::msg_caller();
    let variables = (0..api::env_var_count()).map(api::env_var_name);
    Answers {
        caller,
        caller_info: api::msg_caller_info_data(),
        caller_info_signer: api::msg_caller_info_signer(),
        deadline: api::msg_deadline().is_some(),
        itself: api::canister_self(),
        subnet: api::subnet_self(),
        nodes: api::subnet_self_node_count(),
        root_key: Vec::new(),
        time: api::time(),
        version: api::canister_version(),
        running: api::canister_status() == api::CanisterStatusCode::Running,
        replicated: api::in_replicated_execution(),
        controlled_by_caller: api::is_controller(&caller),
        balance: api::canister_cycle_balance(),
        liquid: api::canister_liquid_cycle_balance(),
        instructions: [
            api::instruction_counter(),
            api::call_context_instruction_counter(),
        ],
        variables: variables
            .filter(|name| api::env_var_name_exists(name))
            .map(|name| (name.clone(), api::env_var_value(&name)))
            .collect(),
        certificate: api::data_certificate(),
    }
}

#[ic_cdk::update]
fn in_an_update() -> Answers {
    Answers {
        root_key: api::root_key(),
        ..answers()
    }
}

#[ic_cdk::query]
fn in_a_query() -> Answers {
    answers()
}

/// The same, as another canister gets it that waits for a bounded time.
#[ic_cdk::update]
async fn in_a_call() -> Result<Answers, String> {
    let call = ic_cdk::call::Call::bounded_wait(api::canister_self(), "in_an_update");
    let answer = call.await.map_err(|error| error.to_string())?;
    answer.candid().map_err(|error| error.to_string())
}

#[ic_cdk::update]
fn certify(data: Vec<u8>) {
    api::certified_data_set(data);
}

#[ic_cdk::update]
fn burn(cycles: u128) -> u128 {
    api::cycles_burn(cycles)
}

#[ic_cdk::update]
fn print(text: String) {
    api::debug_print(text);
}

/// Sets the global timer itself and takes it back: what it was before each.
#[ic_cdk::update]
fn alarm(at: u64) -> (u64, u64) {
    (api::global_timer_set(at), api::global_timer_set(0))
}

/// Writes behind what upgrades keep, and reads it again.
#[ic_cdk::update]
fn stable_memory(text: Vec<u8>) -> Result<(u64, Vec<u8>), String> {
    let before = stable::stable_grow(1).map_err(|error| error.to_string())?;
    let at = before << 16;
    stable::stable_write(at, &text);
    let mut read = vec![0; text.len()];
    stable::stable_read(at, &mut read);
    Ok((stable::stable_size(), read))
}

/// What calls of these sizes cost, and signatures with a key that the mainnet has and one that nobody has.
#[ic_cdk::query]
fn costs() -> (Vec<u128>, Vec<String>) {
    let known = [
        api::cost_call(4, 100),
        api::cost_create_canister(),
        api::cost_http_request(100, 1_000),
    ];
    let keys = ["key_1", "no_such_key"].map(|name| {
        [
            api::cost_sign_with_ecdsa(name, 0),
            api::cost_sign_with_schnorr(name, 0),
            api::cost_vetkd_derive_key(name, 0),
        ]
    });
    let keys = keys
        .into_iter()
        .flatten()
        .map(|cost| cost.map_or_else(|error| error.to_string(), |cost| cost.to_string()));
    (known.to_vec(), keys.collect())
}

/// Which the node leaves out.
#[ic_cdk::query]
fn cost_of_a_request(parameters: Vec<u8>) -> u128 {
    api::cost_http_request_v2(&parameters)
}
