//! Expressions: typed `$(…)` references and CEL conditions, evaluated alike by operator, runner and lint.
