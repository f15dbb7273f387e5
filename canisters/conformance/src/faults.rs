//! Rules that a node can break on purpose, one at a time.
//!
//! A node built with the feature `faults` takes the name of one with `--fault`. The cases beside each are those that are
//! meant to notice it; [`crate::matrix`] shows those that do.

/// Defines the faults: a variant, its name, what it does, and the cases that are meant to notice it.
macro_rules! faults {
    ($($variant:ident = $name:literal, $sentence:literal, [$($case:ident),+ $(,)?];)+) => {
        /// A rule that is broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(
                #[doc = $sentence]
                $variant,
            )+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What the node does wrong.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)+
                }
            }

            /// The cases that are meant to notice it.
            pub fn expected(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$(stringify!($case)),+],)+
                }
            }
        }
    };
}

faults! {
    // Requests.
    AcceptExpired = "accept-expired", "Requests are accepted after their expiry.",
        [a_call_whose_expiry_is_past_is_refused_and_not_executed, a_signed_query_whose_expiry_is_past_is_refused];
    AcceptDistantExpiry = "accept-distant-expiry", "Requests are accepted however long they are valid.",
        [a_call_that_would_be_valid_for_very_long_is_refused];
    AcceptForgedSignature = "accept-forged-signature", "Signatures are not checked.",
        [an_ed25519_signature_is_accepted_and_a_changed_one_refused, the_signature_of_another_request_is_refused];
    AcceptBorrowedSender = "accept-borrowed-sender", "The sender need not belong to the key.",
        [nobody_can_send_in_the_name_of_another];
    IgnoreDelegationTargets = "ignore-delegation-targets", "Targets of delegations are not looked at.",
        [a_delegation_with_targets_is_for_those_canisters_only];
    IgnoreDelegationPermissions = "ignore-delegation-permissions", "Permissions of delegations are not looked at.",
        [a_delegation_for_queries_cannot_be_used_for_calls];
    IgnoreDelegationExpiry = "ignore-delegation-expiry", "Delegations are accepted after they ended.",
        [a_delegation_that_has_ended_is_refused];
    IgnoreDelegationLimits = "ignore-delegation-limits", "Chains may be long, have many targets and name keys twice.",
        [a_chain_has_at_most_20_delegations, a_delegation_has_at_most_1000_targets, no_key_appears_twice_in_a_chain];
    ExecuteRepeated = "execute-repeated", "A request that is sent twice is executed twice.",
        [a_request_that_is_sent_again_is_executed_once_and_answered_again];
    UnlimitedNonce = "unlimited-nonce", "A nonce may have any length.",
        [a_nonce_has_at_most_32_bytes];
    IgnoreEffectiveId = "ignore-effective-id", "The canister in the path may be any.",
        [the_canister_in_the_path_is_the_called_one, a_management_call_goes_through_the_canister_that_it_is_about];
    LaxCbor = "lax-cbor", "Fields may be given twice, and what is not understood is taken for absent.",
        [a_field_given_twice_is_refused];
    // Certificates.
    WrongPrune = "wrong-prune", "The hash of a pruned subtree is wrong.",
        [what_was_not_asked_for_is_pruned, a_certificate_verifies_and_a_changed_one_does_not];
    StaleCertificate = "stale-certificate", "Certificates show the state before the last batch.",
        [a_call_is_answered_with_a_certificate_of_its_reply, a_certificate_is_no_older_than_the_call_before_it];
    TimeGoesBack = "time-goes-back", "Every second certificate has an earlier time.",
        [the_certified_time_never_goes_back, the_time_stands_still_during_an_execution_and_moves_between_them];
    DelegationWithoutRanges = "delegation-without-ranges", "The delegation does not say for which canisters it is.",
        [a_delegation_covers_the_canister_in_the_path];
    WrongQuerySignature = "wrong-query-signature", "The node signs answers to queries without the request id.",
        [a_query_is_signed_by_a_node_of_the_subnet];
    RevealRequests = "reveal-requests", "Everybody may read the status of every request.",
        [the_status_of_a_request_is_for_its_sender_only];
    RevealCertifiedData = "reveal-certified-data", "Certified data can be read from outside.",
        [certified_data_is_not_shown_to_users];
    RevealPrivateMetadata = "reveal-private-metadata", "Private metadata can be read by everybody.",
        [private_metadata_is_for_controllers];
    RevealOtherCanisters = "reveal-other-canisters", "Canisters can be read through the paths of others.",
        [other_canisters_than_the_one_in_the_path_are_not_shown];
    UnlimitedPaths = "unlimited-paths", "A read may have any number of paths.",
        [a_read_has_at_most_1000_paths_of_127_labels];
    WrongModuleHash = "wrong-module-hash", "The module hash is that of the first module ever installed.",
        [the_module_hash_is_that_of_the_installed_module];
    // Executions.
    KeepStateAfterTrap = "keep-state-after-trap", "What an execution did to heap and globals stays when it traps.",
        [a_trap_undoes_heap_globals_and_stable_memory];
    KeepStableAfterTrap = "keep-stable-after-trap", "What an execution did to stable memory stays when it traps.",
        [a_trap_undoes_heap_globals_and_stable_memory];
    KeepCertifiedAfterTrap = "keep-certified-after-trap", "What was certified stays when the execution traps.",
        [a_trap_undoes_the_certified_data];
    QueryKeepsState = "query-keeps-state", "A query in an update call keeps what it changed.",
        [a_query_method_can_be_called_for_a_certified_answer_and_changes_nothing];
    WrongContextAllowed = "wrong-context-allowed", "Every function of the system API may be called everywhere.",
        [an_update_cannot_use_what_belongs_elsewhere, a_query_cannot_use_what_belongs_elsewhere];
    CopyBeyondEnd = "copy-beyond-end", "Copying beyond the end of a blob gives zeros.",
        [copying_beyond_the_end_of_a_blob_traps];
    ReplyTwice = "reply-twice", "The last of several answers counts.",
        [a_second_answer_traps_and_undoes_the_first];
    WrongRejectCode = "wrong-reject-code", "A trap has the code of a rejection by the canister.",
        [every_sort_of_trap_is_an_error_of_the_canister, a_callee_that_traps_is_code_5_and_keeps_nothing];
    ForeignRejectMessage = "foreign-reject-message", "A rejection has the message of the one before.",
        [a_rejection_carries_the_message_of_the_canister];
    StableLostOnUpgrade = "stable-lost-on-upgrade", "An upgrade empties stable memory.",
        [an_upgrade_keeps_stable_memory_and_begins_with_a_fresh_heap];
    ReinstallKeepsStable = "reinstall-keeps-stable", "A reinstall keeps stable memory.",
        [a_reinstall_wipes_everything];
    UpgradeNotAtomic = "upgrade-not-atomic", "What pre_upgrade did stays when post_upgrade traps.",
        [an_upgrade_whose_post_upgrade_traps_undoes_its_pre_upgrade_too];
    SkipInit = "skip-init", "The start function and init do not run.",
        [the_start_function_runs_before_init, init_gets_the_argument_and_the_caller_of_the_install];
    VersionStandsStill = "version-stands-still", "The canister version does not change.",
        [the_version_grows_with_every_change];
    LaxModules = "lax-modules", "Modules are not limited beyond what the engine can run.",
        [a_module_with_too_much_of_something_is_refused, names_that_begin_with_canister_are_reserved];
    IgnoreInspection = "ignore-inspection", "Every ingress message is accepted.",
        [a_message_is_executed_only_when_it_is_accepted];
    NoEnvironment = "no-environment", "Environment variables are not shown to canisters.",
        [environment_variables_can_be_listed_and_read];
    // Timers.
    TimerFiresTwice = "timer-fires-twice", "A timer stays on after it ran, once.",
        [a_timer_runs_once_and_is_off_then];
    TimerSurvivesUpgrade = "timer-survives-upgrade", "A timer stays on over an upgrade.",
        [a_timer_does_not_outlive_an_upgrade];
    TimerNeverFires = "timer-never-fires", "Timers do not run.",
        [a_timer_runs_after_its_time];
    // Calls.
    SkipCleanup = "skip-cleanup", "Cleanups do not run.",
        [a_cleanup_runs_when_the_reply_callback_traps, a_cleanup_runs_when_the_reject_callback_traps];
    CleanupAlways = "cleanup-always", "Cleanups run also after callbacks that ended well.",
        [a_cleanup_does_not_run_when_all_is_well];
    KeepCallsAfterTrap = "keep-calls-after-trap", "Calls are sent although their execution trapped.",
        [a_call_is_not_sent_when_its_execution_traps];
    RollBackCaller = "roll-back-caller", "A callback that traps undoes what was done before the call too.",
        [what_was_done_before_a_call_stays_when_the_callback_traps];
    ReorderPair = "reorder-pair", "Calls between two canisters arrive in reverse.",
        [calls_of_one_execution_arrive_in_order];
    DropCall = "drop-call", "Every tenth call is answered without being executed.",
        [each_of_many_calls_is_answered_once];
    UnlimitedQueue = "unlimited-queue", "Any number of calls is taken.",
        [calls_beyond_the_limit_are_not_taken_and_the_others_are_answered];
    ForgetNoReply = "forget-no-reply", "A call that nobody answers stays open.",
        [a_callee_that_does_not_answer_is_code_5, a_caller_whose_callback_does_not_answer_is_rejected];
    LoseRefund = "lose-refund", "Cycles that are not accepted are lost.",
        [attached_cycles_are_available_and_what_is_not_accepted_comes_back, cycles_neither_appear_nor_vanish];
    CreateCycles = "create-cycles", "Accepted cycles are refunded as well.",
        [accepted_cycles_move_from_caller_to_callee, cycles_neither_appear_nor_vanish];
    AcceptTooMuch = "accept-too-much", "More cycles can be accepted than are available.",
        [no_more_is_accepted_than_is_wanted_and_available, an_ingress_message_has_no_cycles];
    NeverTimeOut = "never-time-out", "Bounded calls wait for ever.",
        [a_bounded_call_that_is_not_answered_in_time_is_rejected_as_unknown];
    CompositeKeepsState = "composite-keeps-state", "A composite query keeps what it changed until the next one.",
        [a_composite_query_discards_what_it_changes_everywhere];
    CertificateForAll = "certificate-for-all", "Every query has a certificate, also below a composite one.",
        [only_the_canister_that_is_asked_has_a_certificate];
    // Management.
    IgnoreControllers = "ignore-controllers", "Everybody may manage every canister.",
        [only_controllers_manage_a_canister, who_is_no_controller_any_more_has_lost_its_rights];
    UnboundedSettings = "unbounded-settings", "Settings are not checked.",
        [settings_out_of_bounds_are_refused, a_canister_has_at_most_10_controllers];
    StopDoesNotWait = "stop-does-not-wait", "Stopping does not wait for open calls.",
        [stopping_waits_for_open_calls];
    StoppedTakesCalls = "stopped-takes-calls", "Stopped canisters take calls.",
        [a_stopped_canister_takes_no_calls_until_it_is_started, a_callee_that_is_stopped_is_code_5];
    UninstallForgetsContexts = "uninstall-forgets-contexts", "Uninstalling does not reject open calls.",
        [uninstalling_rejects_the_calls_that_are_open];
    DeleteRunning = "delete-running", "Canisters can be deleted while they run.",
        [a_canister_is_deleted_only_when_it_is_stopped];
    ChunkHashUnchecked = "chunk-hash-unchecked", "The hash of a chunked module is not compared.",
        [a_chunked_module_must_have_the_hash_that_was_named];
    ConstantRandom = "constant-random", "Random bytes are always the same.",
        [random_bytes_differ_from_call_to_call];
    LogsForAll = "logs-for-all", "Logs can be read by everybody.",
        [logs_are_for_controllers_unless_they_are_made_visible];
    TrapNotLogged = "trap-not-logged", "What is printed by an execution that traps is not logged.",
        [the_message_of_a_trap_is_logged_although_the_rest_is_undone];
    ForgetHistory = "forget-history", "Upgrades are not in the history of a canister.",
        [the_history_of_a_canister_is_complete_and_in_order];
    WrongMode = "wrong-mode", "Installing into a canister that is not empty is a reinstall.",
        [installing_needs_an_empty_canister];
}

#[cfg(test)]
mod tests {
    use super::Fault;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_names_cases_that_exist() {
        let cases: BTreeSet<_> = crate::all().iter().map(|case| case.name).collect();
        let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            for case in fault.expected() {
                assert!(cases.contains(case), "{}: there is no case {case}", fault.name());
            }
        }
    }
}
