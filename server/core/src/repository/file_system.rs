use std::path::Path;

use rustix::fs::statfs;

/// File systems whose files change without this machine's kernel knowing: on a server, or in a process that lends them.
/// The names and numbers are those of statfs(2) and of the systems' own headers.
const CHANGED_ELSEWHERE: [(u32, &str); 21] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "a virtual machine's shared folder"),
    (0xbacb_acbc, "a virtual machine's shared folder"),
    (0x7c7c_6673, "a virtual machine's shared folder"),
    (0x013111a8, "IBRIX"),
];

/// What the file system under a path is called, if it does not tell of every change in it.
pub(super) fn changed_elsewhere(path: &Path) -> Option<&'static str> {
    // The type is of another width on other machines; all known numbers fit 32 bits.
    let kind = statfs(path).ok()?.f_type as u64 as u32;
    CHANGED_ELSEWHERE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_system_tells_of_its_changes() {
        assert_eq!(changed_elsewhere(Path::new("/proc")), None);
        assert_eq!(changed_elsewhere(Path::new("/no/such")), None);
    }

    #[test]
    fn no_number_stands_for_two_file_systems() {
        let numbers: std::collections::HashSet<u32> =
            CHANGED_ELSEWHERE.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers.len(), CHANGED_ELSEWHERE.len());
    }
}
