//! The words of `--help` that the table of flags does not hold.

use super::flag::Flag;
use super::kind::Kind;

/// What the daemon is.
pub(super) const ABOUT: &str = "\
Nerite serves machine-learning models over gRPC. It takes the place of tritonserver: the same \
repository, the same protocol, the same flags.";

/// What `check` does.
pub(super) const ABOUT_CHECK: &str =
    "Say which models would be loaded, and why others would not; exit with status 1 if anything is wrong";

/// What `health` does.
pub(super) const ABOUT_HEALTH: &str = "Ask the daemon on this machine whether it is ready; exit with status 1 if it is not, for a container's health check";

/// How the daemon is called.
pub(super) const USAGE: &str =
    "nerite --model-repository=DIR [FLAGS]\n       nerite check DIR... [FLAGS]\n       nerite health [FLAGS]";

/// How `check` is called.
pub(super) const USAGE_CHECK: &str = "nerite check DIR... [FLAGS]";

/// How `health` is called.
pub(super) const USAGE_HEALTH: &str = "nerite health [FLAGS]";

/// What follows the flags in `-h`.
pub(super) const AFTER: &str = "\
'nerite --help' also lists the flags of tritonserver that have no effect yet, and says where
else settings may stand.";

/// What follows the flags in `--help`.
pub(super) const AFTER_LONG: &str = "\
Where settings may stand:
  A flag is written --flag=value or --flag value; a boolean is true or false. Every flag is also
  a variable and a key of a TOML file. Where several set the same thing, the first of these wins:
    1. the flag       --grpc-port=9001
    2. the variable   NERITE_GRPC_PORT=9001
    3. the file       grpc-port = 9001
  The file is the one that --config-file or NERITE_CONFIG_FILE names. A flag marked [repeatable]
  is a list in the file, and a variable holds ';' between its values. The values of one source
  replace those of the sources below it.

Examples:
  nerite --model-repository=models
  nerite --model-repository=models --grpc-port=9001 --log-verbose=1
  nerite --model-repository=models --backend-config=onnxruntime,library=/opt/libonnxruntime.so
  nerite check models";

/// The line that describes a flag.
pub(super) fn sentence(flag: &Flag) -> String {
    let repeatable = if flag.many { " [repeatable]" } else { "" };
    match (flag.default, flag.kind) {
        (Some(default), _) => format!("{}{repeatable} [default: {default}]", flag.help),
        (None, Kind::Switch) => format!("{} [default: false]", flag.help),
        (None, _) => format!("{}{repeatable}", flag.help),
    }
}
