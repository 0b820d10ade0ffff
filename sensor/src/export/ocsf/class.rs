//! Classes of OCSF that events become, with what can happen in each: numbers and captions are
//! those of the schema's `events/*/*.json` and `categories.json`. Which event becomes which is in
//! `map.rs`.

/// Version of the schema.
pub(super) const VERSION: &str = "1.9.0-dev";

/// Activity for what a class has no number for.
pub(super) const OTHER: u8 = 99;

/// A class of events.
#[derive(Debug)]
pub(super) struct Class {
    /// `class_uid`.
    pub(super) uid: u16,
    /// `class_name`.
    pub(super) name: &'static str,
    /// `category_uid`.
    pub(super) category: u8,
    /// `category_name`.
    pub(super) category_name: &'static str,
    /// `activity_id` and `activity_name` of those that are used.
    pub(super) activities: &'static [(u8, &'static str)],
}

impl Class {
    /// `type_uid`.
    pub(super) const fn type_uid(&self, activity: u8) -> i64 {
        self.uid as i64 * 100 + activity as i64
    }

    /// `activity_name`, where it is not the event's own word.
    pub(super) fn activity_name(&self, activity: u8) -> Option<&'static str> {
        let known = self.activities.iter().find(|(id, _)| *id == activity);
        known.map(|(_, name)| *name)
    }
}

macro_rules! classes {
    ($($id:ident $uid:literal $name:literal in $category:literal $category_name:literal: $($activity:literal $caption:literal),*;)*) => {
        $(pub(super) const $id: &Class = &Class {
            uid: $uid,
            name: $name,
            category: $category,
            category_name: $category_name,
            activities: &[$(($activity, $caption)),*],
        };)*
    };
}

classes! {
    ANY 0 "Base Event" in 0 "Uncategorized": 0 "Unknown";
    FILE 1001 "File System Activity" in 1 "System Activity":
        1 "Create", 2 "Read", 3 "Update", 4 "Delete", 5 "Rename", 7 "Set Security", 12 "Mount", 14 "Open";
    KERNEL_EXTENSION 1002 "Kernel Extension Activity" in 1 "System Activity": 1 "Load";
    KERNEL 1003 "Kernel Activity" in 1 "System Activity": 1 "Create", 3 "Delete", 4 "Invoke";
    PROCESS 1007 "Process Activity" in 1 "System Activity":
        1 "Launch", 2 "Terminate", 4 "Inject", 5 "Set User ID";
    FINDING 2004 "Detection Finding" in 2 "Findings": 1 "Create";
    NETWORK 4001 "Network Activity" in 4 "Network Activity":
        1 "Open", 2 "Close", 4 "Fail", 5 "Refuse", 6 "Traffic", 7 "Listen";
    DNS 4003 "DNS Activity" in 4 "Network Activity": 1 "Query", 2 "Response", 6 "Traffic";
    LIFECYCLE 6002 "Application Lifecycle" in 6 "Application Activity": 3 "Start", 4 "Stop";
    ERROR 6008 "Application Error" in 6 "Application Activity": 1 "General Error";
    REMEDIATION 7001 "Remediation Activity" in 7 "Remediation": 1 "Isolate";
    FILE_REMEDIATION 7002 "File Remediation Activity" in 7 "Remediation": 1 "Isolate", 3 "Restore";
    PROCESS_REMEDIATION 7003 "Process Remediation Activity" in 7 "Remediation":
        1 "Isolate", 2 "Evict", 3 "Restore";
    NETWORK_REMEDIATION 7004 "Network Remediation Activity" in 7 "Remediation":
        1 "Isolate", 3 "Restore";
}
