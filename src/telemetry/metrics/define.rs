//! The macro that makes a function of each entry of the table in [`super`], and the types of
//! values.

use std::time::Duration;

use metrics::{Gauge, Unit};

/// Makes one function for each entry, and `describe`, which registers all of them with the
/// recorder. The help text is the doc comment of the function, and the labels have the names of its
/// arguments.
macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $kind:ident $name:literal = $function:ident($($label:ident: $type:ty),*)
            $($verb:ident $value:ident: $value_type:ty)?;
    )+) => {
        $(metric! {
            $kind $name [$(#[doc = $help])+]
            $function($($label: $type),*) $($verb $value: $value_type)?
        })+

        fn describe() {
            $(describe! { $kind $name [concat!($($help),+)] $($value_type)? })+
        }

        /// Makes series of counters, with the value 0.
        pub(super) mod at_zero {
            #![allow(dead_code, reason = "not every series is made before it counts something")]
            #![allow(unused_imports, reason = "not every type of a label belongs to a counter")]

            use super::*;

            $(at_zero! { $kind $name $function($($label: $type),*) })+
        }

        /// Makes the series of all counters without labels and of all gauges that count what is held.
        fn begin_unlabelled() {
            $(begin_unlabelled! { $kind $name ($($label),*) })+
        }
    };
}

macro_rules! at_zero {
    (counter $name:literal $function:ident($($label:ident: $type:ty),*)) => {
        pub(in crate::telemetry) fn $function($($label: $type),*) {
            ::metrics::counter!($name $(, stringify!($label) => $label.label())*).increment(0);
        }
    };
    ($kind:ident $name:literal $function:ident($($label:ident: $type:ty),*)) => {};
}

macro_rules! begin_unlabelled {
    (counter $name:literal ()) => {
        ::metrics::counter!($name).increment(0);
    };
    (held $name:literal ()) => {
        ::metrics::gauge!($name).increment(0.0);
    };
    ($kind:ident $name:literal ($($label:ident),*)) => {};
}

macro_rules! metric {
    (counter $name:literal [$($doc:tt)+] $function:ident($($label:ident: $type:ty),*)) => {
        $($doc)+
        pub fn $function($($label: $type),*) {
            ::metrics::counter!($name $(, stringify!($label) => $label.label())*).increment(1);
        }
    };
    (
        counter $name:literal [$($doc:tt)+] $function:ident($($label:ident: $type:ty),*)
        by $count:ident: $count_type:ty
    ) => {
        $($doc)+
        pub fn $function($($label: $type,)* $count: $count_type) {
            let counter = ::metrics::counter!($name $(, stringify!($label) => $label.label())*);
            counter.increment($count as u64);
        }
    };
    (
        histogram $name:literal [$($doc:tt)+] $function:ident($($label:ident: $type:ty),*)
        of $value:ident: $value_type:ty
    ) => {
        $($doc)+
        pub fn $function($($label: $type,)* $value: $value_type) {
            let histogram = ::metrics::histogram!($name $(, stringify!($label) => $label.label())*);
            histogram.record($value.value());
        }
    };
    (
        gauge $name:literal [$($doc:tt)+] $function:ident($($label:ident: $type:ty),*)
        is $value:ident: $value_type:ty
    ) => {
        $($doc)+
        pub fn $function($($label: $type,)* $value: $value_type) {
            let gauge = ::metrics::gauge!($name $(, stringify!($label) => $label.label())*);
            gauge.set($value.value());
        }
    };
    (held $name:literal [$($doc:tt)+] $function:ident()) => {
        $($doc)+
        pub fn $function() -> GaugeGuard {
            GaugeGuard::one(::metrics::gauge!($name))
        }
    };
}

macro_rules! describe {
    (counter $name:literal [$help:expr] $($count:ty)?) => {
        ::metrics::describe_counter!($name, Unit::Count, $help.trim_start());
    };
    (histogram $name:literal [$help:expr] $value:ty) => {
        ::metrics::describe_histogram!($name, <$value as MetricValue>::UNIT, $help.trim_start());
    };
    (gauge $name:literal [$help:expr] $value:ty) => {
        ::metrics::describe_gauge!($name, <$value as MetricValue>::UNIT, $help.trim_start());
    };
    (held $name:literal [$help:expr]) => {
        ::metrics::describe_gauge!($name, Unit::Count, $help.trim_start());
    };
}

pub(super) use {at_zero, begin_unlabelled, describe, metric, metrics};

/// Counts one in a gauge until it is dropped, so that the gauge is right on every path.
#[must_use = "what is dropped is no longer counted"]
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    pub(super) fn one(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// A value that a gauge or a histogram records.
pub(super) trait MetricValue {
    const UNIT: Unit;

    fn value(self) -> f64;
}

impl MetricValue for Duration {
    const UNIT: Unit = Unit::Seconds;

    fn value(self) -> f64 {
        self.as_secs_f64()
    }
}

impl MetricValue for u64 {
    const UNIT: Unit = Unit::Count;

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and nobody counts that far")]
    fn value(self) -> f64 {
        self as f64
    }
}

impl MetricValue for usize {
    const UNIT: Unit = Unit::Count;

    fn value(self) -> f64 {
        (self as u64).value()
    }
}

impl MetricValue for bool {
    const UNIT: Unit = Unit::Count;

    fn value(self) -> f64 {
        f64::from(u8::from(self))
    }
}
