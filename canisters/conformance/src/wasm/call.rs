//! Calls of other canisters.

use super::code::{Code, bytes};
use candid::Principal;

/// A call under construction.
#[derive(Debug, Clone)]
pub struct Call {
    callee: Code,
    method: String,
    arg: Option<Code>,
    cycles: Option<Code>,
    reply: String,
    reject: String,
    env: u32,
    cleanup: Option<(String, u32)>,
    timeout: Option<u32>,
    /// A place in the table that stands for both callbacks and has no function.
    nowhere: Option<i32>,
}

impl Call {
    /// A call of a canister, whose outcome is told to the caller by the usual callbacks (see [`super::Module`]).
    pub fn to(callee: Principal, method: &str) -> Self {
        Self::to_blob(bytes(callee), method)
    }

    /// The same to an id that is found out by running.
    pub fn to_blob(callee: Code, method: &str) -> Self {
        Self {
            callee,
            method: method.to_owned(),
            arg: None,
            cycles: None,
            reply: "tell_reply".to_owned(),
            reject: "tell_reject".to_owned(),
            env: 0,
            cleanup: None,
            timeout: None,
            nowhere: None,
        }
    }

    /// With an argument.
    pub fn arg(mut self, blob: impl AsRef<str>) -> Self {
        self.arg = Some(blob.as_ref().to_owned());
        self
    }

    /// With cycles.
    pub fn cycles(mut self, amount: impl AsRef<str>) -> Self {
        self.cycles = Some(amount.as_ref().to_owned());
        self
    }

    /// With another callback for replies.
    pub fn on_reply(mut self, callback: &str) -> Self {
        callback.clone_into(&mut self.reply);
        self
    }

    /// With another callback for rejections.
    pub fn on_reject(mut self, callback: &str) -> Self {
        callback.clone_into(&mut self.reject);
        self
    }

    /// With one callback for both.
    pub fn then(self, callback: &str) -> Self {
        self.on_reply(callback).on_reject(callback)
    }

    /// With a number that the callbacks are given.
    pub fn env(mut self, env: u32) -> Self {
        self.env = env;
        self
    }

    /// With a callback that runs when one of the others traps, and the number that it is given.
    pub fn cleanup(mut self, callback: &str, env: u32) -> Self {
        self.cleanup = Some((callback.to_owned(), env));
        self
    }

    /// With a bound on how long to wait, in seconds.
    pub fn within(mut self, seconds: u32) -> Self {
        self.timeout = Some(seconds);
        self
    }

    /// Without callbacks, as canisters say it that wait for no answer.
    pub fn oneway(mut self) -> Self {
        self.nowhere = Some(-1);
        self
    }

    /// With callbacks that do not exist.
    pub fn with_missing_callbacks(mut self) -> Self {
        self.nowhere = Some(1_000_000);
        self
    }

    fn assembled(&self) -> Code {
        let (reply, reject, env) = if let Some(place) = self.nowhere {
            let none = format!("(i32.const {place})");
            (none.clone(), none.clone(), none)
        } else {
            (
                format!("#[{}]", self.reply),
                format!("#[{}]", self.reject),
                format!("(i32.const {})", self.env),
            )
        };
        let mut code = format!(
            "(call $call_new {} {} {reply} {env} {reject} {env})\n",
            self.callee,
            bytes(&self.method)
        );
        if let Some((callback, env)) = &self.cleanup {
            code += &format!("(call $call_on_cleanup #[{callback}] (i32.const {env}))\n");
        }
        if let Some(arg) = &self.arg {
            code += &format!("(call $call_data_append {arg})\n");
        }
        if let Some(cycles) = &self.cycles {
            code += &format!("(call $call_cycles_add128 (i64.const 0) {cycles})\n");
        }
        if let Some(seconds) = self.timeout {
            code += &format!("(call $call_with_best_effort_response (i32.const {seconds}))\n");
        }
        code
    }

    /// The step that makes the call. It traps when the network does not take it.
    pub fn go(&self) -> Code {
        format!(
            "{}(if (call $call_perform) (then (call $trap {})))",
            self.assembled(),
            bytes("the call is not taken")
        )
    }

    /// The number that `call_perform` gives.
    pub fn code(&self) -> Code {
        format!(
            "(block (result i64) {} (i64.extend_i32_u (call $call_perform)))",
            self.assembled()
        )
    }

    /// The step that assembles the call and forgets it.
    pub fn forgotten(&self) -> Code {
        self.assembled()
    }
}
