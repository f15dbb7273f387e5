//! The system API: names, types, and where each function may be called.
//!
//! Source: "Overview of imports".

/// A function of the system API for modules with 32-bit memories.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// Its name in `ic0`.
    pub name: &'static str,
    /// Its parameters: `i` is i32, `l` is i64.
    pub parameters: &'static str,
    /// Its results, likewise.
    pub results: &'static str,
    /// Where it may be called, in the words of the specification.
    contexts: &'static str,
}

/// Everywhere but in the start function.
const ALL: &str = "I G U RQ NRQ TQ CQ Ry Rt CRy CRt C CC F T";
/// There too.
const ALL_AND_START: &str = "I G U RQ NRQ TQ CQ Ry Rt CRy CRt C CC F T s";
const CALLING: &str = "U CQ Ry Rt CRy CRt T";
const ANSWERING: &str = "U RQ NRQ TQ CQ Ry Rt CRy CRt";
const PAID: &str = "U RQ Rt Ry";
const STORED: &str = "I G U Ry Rt T";
const REPLICATED: &str = "I G U RQ Ry Rt C T";
const CALLER_INFO: &str = "U RQ NRQ CQ Ry Rt CRy CRt C CC F";

const fn import(
    name: &'static str,
    parameters: &'static str,
    results: &'static str,
    contexts: &'static str,
) -> Import {
    Import {
        name,
        parameters,
        results,
        contexts,
    }
}

/// All functions of the specification.
pub const IMPORTS: &[Import] = &[
    import("msg_arg_data_size", "", "i", "I U RQ NRQ TQ CQ Ry CRy F"),
    import("msg_arg_data_copy", "iii", "", "I U RQ NRQ TQ CQ Ry CRy F"),
    import("msg_caller_size", "", "i", ALL),
    import("msg_caller_copy", "iii", "", ALL),
    import("msg_caller_info_data_size", "", "i", CALLER_INFO),
    import("msg_caller_info_data_copy", "iii", "", CALLER_INFO),
    import("msg_caller_info_signer_size", "", "i", CALLER_INFO),
    import("msg_caller_info_signer_copy", "iii", "", CALLER_INFO),
    import("msg_reject_code", "", "i", "Ry Rt CRy CRt C CC"),
    import("msg_reject_msg_size", "", "i", "Rt CRt"),
    import("msg_reject_msg_copy", "iii", "", "Rt CRt"),
    import("msg_deadline", "", "l", "U RQ NRQ CQ Ry Rt CRy CRt TQ"),
    import("msg_reply_data_append", "ii", "", ANSWERING),
    import("msg_reply", "", "", ANSWERING),
    import("msg_reject", "ii", "", ANSWERING),
    import("msg_cycles_available128", "i", "", PAID),
    import("msg_cycles_refunded128", "i", "", "Rt Ry"),
    import("msg_cycles_accept128", "lli", "", PAID),
    import("cycles_burn128", "lli", "", REPLICATED),
    import("canister_self_size", "", "i", ALL),
    import("canister_self_copy", "iii", "", ALL),
    import("canister_cycle_balance128", "i", "", ALL),
    import("canister_liquid_cycle_balance128", "i", "", ALL),
    import("canister_status", "", "i", ALL),
    import("canister_version", "", "l", ALL),
    import("subnet_self_size", "", "i", ALL),
    import("subnet_self_copy", "iii", "", ALL),
    import("msg_method_name_size", "", "i", "F"),
    import("msg_method_name_copy", "iii", "", "F"),
    import("accept_message", "", "", "F"),
    import("call_new", "iiiiiiii", "", CALLING),
    import("call_on_cleanup", "ii", "", CALLING),
    import("call_data_append", "ii", "", CALLING),
    import("call_with_best_effort_response", "i", "", CALLING),
    import("call_cycles_add128", "ll", "", "U Ry Rt T"),
    import("call_perform", "", "i", CALLING),
    import("stable64_size", "", "l", ALL_AND_START),
    import("stable64_grow", "l", "l", ALL_AND_START),
    import("stable64_write", "lll", "", ALL_AND_START),
    import("stable64_read", "lll", "", ALL_AND_START),
    import("root_key_size", "", "i", REPLICATED),
    import("root_key_copy", "iii", "", REPLICATED),
    import("certified_data_set", "ii", "", STORED),
    import("data_certificate_present", "", "i", ALL),
    import("data_certificate_size", "", "i", "NRQ CQ"),
    import("data_certificate_copy", "iii", "", "NRQ CQ"),
    import("time", "", "l", ALL),
    import("global_timer_set", "l", "l", "I G U Ry Rt C T"),
    import("performance_counter", "i", "l", ALL_AND_START),
    import("is_controller", "ii", "i", ALL_AND_START),
    import("in_replicated_execution", "", "i", ALL_AND_START),
    import("cost_call", "lli", "", ALL_AND_START),
    import("cost_create_canister", "i", "", ALL_AND_START),
    import("cost_http_request", "lli", "", ALL_AND_START),
    import("cost_sign_with_ecdsa", "iiii", "i", ALL_AND_START),
    import("cost_sign_with_schnorr", "iiii", "i", ALL_AND_START),
    import("cost_vetkd_derive_key", "iiii", "i", ALL_AND_START),
    import("env_var_count", "", "i", ALL),
    import("env_var_name_size", "i", "i", ALL),
    import("env_var_name_copy", "iiii", "", ALL),
    import("env_var_name_exists", "ii", "i", ALL),
    import("env_var_value_size", "ii", "i", ALL),
    import("env_var_value_copy", "iiiii", "", ALL),
    import("debug_print", "ii", "", ALL_AND_START),
    import("trap", "ii", "", ALL_AND_START),
    // For 32-bit memories only, deprecated.
    import("msg_cycles_available", "", "l", PAID),
    import("msg_cycles_refunded", "", "l", "Rt Ry"),
    import("msg_cycles_accept", "l", "l", PAID),
    import("canister_cycle_balance", "", "l", ALL),
    import("call_cycles_add", "l", "", "U Ry Rt T"),
    import("stable_size", "", "i", ALL_AND_START),
    import("stable_grow", "i", "i", ALL_AND_START),
    import("stable_write", "iii", "", ALL_AND_START),
    import("stable_read", "iii", "", ALL_AND_START),
];

fn types(letters: &str) -> Vec<&'static str> {
    letters
        .chars()
        .map(|letter| if letter == 'i' { "i32" } else { "i64" })
        .collect()
}

impl Import {
    /// The function of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        IMPORTS.iter().find(|import| import.name == name)
    }

    /// Whether it may be called in a context, such as `NRQ`.
    pub fn allowed_in(&self, context: &str) -> bool {
        self.contexts.split(' ').any(|allowed| allowed == context)
    }

    /// The declaration of the import.
    pub fn declaration(&self) -> String {
        let clause = |word: &str, letters: &str| match letters {
            "" => String::new(),
            _ => format!(" ({word} {})", types(letters).join(" ")),
        };
        format!(
            "(import \"ic0\" \"{0}\" (func ${0}{1}{2}))\n",
            self.name,
            clause("param", self.parameters),
            clause("result", self.results)
        )
    }

    /// A call with zeros whose results are dropped.
    pub fn called_with_zeros(&self) -> String {
        let zeros: String = types(self.parameters)
            .iter()
            .map(|kind| format!(" ({kind}.const 0)"))
            .collect();
        let call = format!("(call ${}{zeros})", self.name);
        match self.results {
            "" => call,
            _ => format!("(drop {call})"),
        }
    }
}
