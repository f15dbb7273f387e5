//! Rules that a node can break on purpose, one at a time.
//!
//! A node built with the feature `faults` takes the name of one with `--fault`. Each law names those that it is meant to
//! notice (see [`crate::Case::notices`]); [`crate::matrix`] shows that it does.

/// Defines the faults: a variant, its name, and what it does.
macro_rules! faults {
    ($($variant:ident = $name:literal, $sentence:literal;)+) => {
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
        }
    };
}

faults! {
    // Requests.
    AcceptExpired = "accept-expired", "Requests are accepted after their expiry.";
    AcceptDistantExpiry = "accept-distant-expiry", "Requests are accepted however long they are valid.";
    AcceptForgedSignature = "accept-forged-signature", "Signatures are not checked.";
    AcceptBorrowedSender = "accept-borrowed-sender", "The sender need not belong to the key.";
    IgnoreDelegationTargets = "ignore-delegation-targets", "Targets of delegations are not looked at.";
    IgnoreDelegationPermissions = "ignore-delegation-permissions", "Permissions of delegations are not looked at.";
    IgnoreDelegationExpiry = "ignore-delegation-expiry", "Delegations are accepted after they ended.";
    IgnoreDelegationLimits = "ignore-delegation-limits", "Chains may be long, have many targets and name keys twice.";
    ExecuteRepeated = "execute-repeated", "A request that is sent twice is executed twice.";
    UnlimitedNonce = "unlimited-nonce", "A nonce may have any length.";
    IgnoreEffectiveId = "ignore-effective-id", "The canister in the path may be any.";
    LaxCbor = "lax-cbor", "Fields may be missing, given twice, and of any type, and anything may follow a request.";
    // Certificates and reads.
    WrongPrune = "wrong-prune", "The hash of a pruned subtree is wrong.";
    StaleCertificate = "stale-certificate", "Who reads the state sees the one before the last batch.";
    TimeGoesBack = "time-goes-back", "Every second certificate has an earlier time.";
    DelegationWithoutRanges = "delegation-without-ranges", "The delegation does not say for which canisters it is.";
    WrongQuerySignature = "wrong-query-signature", "The node signs answers to queries without the request id.";
    RevealRequests = "reveal-requests", "Everybody may read the status of every request, through every canister.";
    RevealCertifiedData = "reveal-certified-data", "Certified data, and a canister as a whole, can be read from outside.";
    RevealPrivateMetadata = "reveal-private-metadata", "Private metadata can be read by everybody.";
    RevealOtherCanisters = "reveal-other-canisters", "Canisters can be read through the paths of others.";
    UnlimitedPaths = "unlimited-paths", "A read may have any number of paths, about any number of requests.";
    WrongModuleHash = "wrong-module-hash", "The module hash is that of the first module ever installed.";
    // Executions.
    KeepStateAfterTrap = "keep-state-after-trap", "What an execution did to the heap stays when it traps.";
    KeepStableAfterTrap = "keep-stable-after-trap", "What an execution did to stable memory stays when it traps.";
    KeepCertifiedAfterTrap = "keep-certified-after-trap", "What an execution certified, its timer and the cycles it accepted stay when it traps.";
    QueryKeepsState = "query-keeps-state", "A query in an update call keeps what it changed.";
    WrongContextAllowed = "wrong-context-allowed", "Every function of the system API may be called everywhere.";
    CopyBeyondEnd = "copy-beyond-end", "Copying beyond the end of a blob gives zeros.";
    ReplyTwice = "reply-twice", "The last of several answers counts.";
    WrongRejectCode = "wrong-reject-code", "A trap has the code of a rejection by the canister.";
    ForeignRejectMessage = "foreign-reject-message", "A rejection has the message of the one before.";
    StableLostOnUpgrade = "stable-lost-on-upgrade", "An upgrade empties stable memory.";
    ReinstallKeepsStable = "reinstall-keeps-stable", "A reinstall keeps stable memory.";
    UpgradeNotAtomic = "upgrade-not-atomic", "What an install or upgrade did before it trapped stays.";
    SkipInit = "skip-init", "The start function and init do not run.";
    VersionStandsStill = "version-stands-still", "The canister version does not change.";
    LaxModules = "lax-modules", "Modules are not limited beyond what the engine can run.";
    IgnoreInspection = "ignore-inspection", "Every ingress message is accepted.";
    NoEnvironment = "no-environment", "Environment variables are not shown to canisters.";
    // Timers.
    TimerFiresTwice = "timer-fires-twice", "A timer stays on after it ran, once.";
    TimerSurvivesUpgrade = "timer-survives-upgrade", "A timer stays on over an upgrade.";
    TimerNeverFires = "timer-never-fires", "Timers do not run.";
    // Calls.
    SkipCleanup = "skip-cleanup", "Cleanups do not run.";
    CleanupAlways = "cleanup-always", "Cleanups run also after callbacks that ended well.";
    KeepCallsAfterTrap = "keep-calls-after-trap", "Calls are sent although the update that made them trapped.";
    RollBackCaller = "roll-back-caller", "A callback that traps undoes what was done before the call too.";
    ReorderPair = "reorder-pair", "Calls between two canisters arrive in reverse.";
    DropCall = "drop-call", "Every tenth call is answered without being executed.";
    UnlimitedQueue = "unlimited-queue", "Any number of calls is taken.";
    SilenceIsReply = "silence-is-reply", "A call that nobody answers is answered with an empty reply.";
    LoseRefund = "lose-refund", "Cycles that are not accepted are lost.";
    CreateCycles = "create-cycles", "Accepted cycles are refunded as well.";
    AcceptTooMuch = "accept-too-much", "More cycles can be accepted than are available.";
    NeverTimeOut = "never-time-out", "Bounded calls wait for ever.";
    CompositeKeepsState = "composite-keeps-state", "A query keeps what it changed until the next one of its canister.";
    CertificateForAll = "certificate-for-all", "Every execution has a certificate, or is told that it has one.";
    // Management.
    IgnoreControllers = "ignore-controllers", "Everybody may manage every canister.";
    UnboundedSettings = "unbounded-settings", "Settings are not checked.";
    StopDoesNotWait = "stop-does-not-wait", "Stopping does not wait for open calls.";
    StoppedTakesCalls = "stopped-takes-calls", "Canisters that stop or have stopped take calls.";
    UninstallForgetsContexts = "uninstall-forgets-contexts", "Uninstalling does not reject open calls.";
    DeleteRunning = "delete-running", "Canisters can be deleted while they run.";
    ChunkHashUnchecked = "chunk-hash-unchecked", "The hash of a chunked module is not compared.";
    ConstantRandom = "constant-random", "Random bytes are always the same.";
    LogsForAll = "logs-for-all", "Logs can be read by everybody.";
    TrapNotLogged = "trap-not-logged", "What is printed by an execution that traps is not logged.";
    ForgetHistory = "forget-history", "Upgrades are not in the history of a canister.";
    WrongMode = "wrong-mode", "Installing and upgrading do what fits, whether there is code or not.";
    // More of the system API and of calls.
    WrongDeadline = "wrong-deadline", "The deadline of a call is the wrong way round: there where there is none.";
    UnlimitedReplies = "unlimited-replies", "Replies may be of any size.";
    AppendReplaces = "append-replaces", "What is appended to an argument or a reply replaces what was there.";
    EmptyReplyLost = "empty-reply-lost", "An empty reply is none.";
    LongCertifiedData = "long-certified-data", "Certified data may have any length.";
    LaxBuilding = "lax-building", "A call need not be begun before it is put together, and its parts can be given twice.";
    SmallMessages = "small-messages", "Large arguments are refused.";
    SendUnperformed = "send-unperformed", "Calls that were begun and not performed are sent.";
    AttachAnything = "attach-anything", "More cycles can be attached than there are.";
    AvailableAfterAnswer = "available-after-answer", "Cycles can be accepted after the answer.";
    FlatteringView = "flattering-view", "Canisters see themselves running, replicated, and controlled by whomever they ask about.";
    TimerSetOnce = "timer-set-once", "A timer that is set cannot be set otherwise.";
    CounterStandsStill = "counter-stands-still", "The performance counter is zero.";
    LaxEnvironment = "lax-environment", "Environment variables that do not exist are empty.";
    LaxMemory = "lax-memory", "Reads and copies outside of the heap do nothing.";
    LossyText = "lossy-text", "Text need not be UTF-8.";
    CopyIgnoresOffset = "copy-ignores-offset", "Copying begins at the beginning, wherever it should.";
    CallbackWithoutNumber = "callback-without-number", "Callbacks are called with zero.";
    SilentTraps = "silent-traps", "Rejections and logs do not say why an execution trapped.";
    MissingMethodIsAbsent = "missing-method-is-absent", "A missing method, or missing code, is a missing canister.";
    AbsentIsError = "absent-is-error", "A missing canister is an error of the canister.";
    AnyMethodAnyWay = "any-method-any-way", "Methods are run whatever kind they are.";
    CallerIsAnonymous = "caller-is-anonymous", "Canisters see the anonymous principal as their caller.";
    WrongSelf = "wrong-self", "Canisters see the subnet as themselves, and no root key.";
    InspectEverything = "inspect-everything", "Queries, calls of canisters and management calls are inspected too.";
    IgnoreLimits = "ignore-limits", "The limit on the heap and the least number of cycles are not looked at.";
    BoundedIsUnknown = "bounded-is-unknown", "Bounded calls are answered by a time-out at once.";
    VersionByTraps = "version-by-traps", "The canister version changes when an execution traps.";
    CallbackWithoutCycles = "callback-without-cycles", "Callbacks cannot accept cycles.";
    LonelyComposite = "lonely-composite", "Composite queries find no other canister.";
    GrowGivesNewSize = "grow-gives-new-size", "Growing stable memory gives the size after it.";
    LaxStable = "lax-stable", "Reads and writes outside of stable memory do nothing.";
    // More of management.
    OpenChannels = "open-channels", "Management methods that are for canisters or for queries only can be called by everybody.";
    StatusForOthers = "status-for-others", "The status of a canister is for those who may not see it.";
    RefusedModuleEmpties = "refused-module-empties", "A module that is refused leaves an empty canister.";
    InstallWithoutArgument = "install-without-argument", "Installs and upgrades have no argument.";
    InstallStarts = "install-starts", "Installing starts the canister.";
    LoseConstants = "lose-constants", "Data segments are not in the memory.";
    IgnoreUpgradeFlags = "ignore-upgrade-flags", "What an upgrade should skip and keep is not looked at.";
    SkipPreUpgrade = "skip-pre-upgrade", "The hook before upgrades does not run.";
    UpgradeForgets = "upgrade-forgets", "An upgrade forgets certified data and logs.";
    StartEndsStopWell = "start-ends-stop-well", "Starting answers those who wait for the canister to stop as if it had.";
    DeletedStays = "deleted-stays", "A deleted canister stays.";
    UninstallKeepsMemory = "uninstall-keeps-memory", "Uninstalling keeps stable memory, and takes the cycles.";
    UnnamedSettingsReset = "unnamed-settings-reset", "Settings that are not named are reset.";
    IgnoreWishes = "ignore-wishes", "New canisters do not get the settings, cycles and id that were asked for.";
    LoseDeposits = "lose-deposits", "Deposited cycles do not arrive.";
    CarelessChunks = "careless-chunks", "Chunks may have any size, have no hash, stay when the store is cleared, and are looked for in the wrong one.";
    LogsReversed = "logs-reversed", "Logs are told backwards.";
    LogsStopWhenFull = "logs-stop-when-full", "Logs do not make room.";
    HistoryInFull = "history-in-full", "The whole history is told, however much was asked for.";
    StatusWithoutMemory = "status-without-memory", "The status tells no memory.";
    IgnoreSenderVersion = "ignore-sender-version", "The version that a calling canister names is not compared.";
    NoTimestamps = "no-timestamps", "The state tree does not tell when a canister was created and installed.";
    HideMetadata = "hide-metadata", "Public metadata is for controllers.";
    // More of the interface.
    UncertifiedRejections = "uncertified-rejections", "Calls are rejected without a certificate.";
    TalkativeCalls = "talkative-calls", "Answers to calls show more than they should.";
    AdmitEverything = "admit-everything", "Calls are not looked at before they are ordered.";
    StaleQuery = "stale-query", "Queries see the state before the last batch.";
    WrongRootKey = "wrong-root-key", "The status shows the key of the subnet.";
    HideNodes = "hide-nodes", "The state tree shows no keys of nodes.";
    HideControllers = "hide-controllers", "The state tree shows no controllers of canisters.";
    ProofOptional = "proof-optional", "Who has a sender need not have a key and a signature, and who has none may.";
    NoDelegations = "no-delegations", "Delegations are refused.";
    UntaggedAnswers = "untagged-answers", "Answers have no self-describing tag.";
}

#[cfg(test)]
mod tests {
    use super::Fault;
    use std::collections::BTreeSet;

    #[test]
    fn the_node_has_these_faults_and_no_others() {
        let list = include_str!("../../node/src/faults/mod.rs")
            .split_once("\nfaults! {")
            .and_then(|(_, rest)| rest.split_once("\n}"))
            .map_or("", |(list, _)| list);
        let ours: Vec<_> = Fault::ALL
            .iter()
            .map(|fault| format!("{fault:?} = \"{}\",", fault.name()))
            .collect();
        let theirs: Vec<_> = list
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_law_that_is_meant_to_notice_it() {
        let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let noticed = crate::all().iter().any(|case| case.notices.contains(fault));
            assert!(noticed, "{}", fault.name());
        }
    }
}
