//! Which file systems are mounted where: /proc/self/mountinfo, and which of them are told. Pure.

use crate::collectors::Mounts;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use watchkeeper_schemas::quantity::Text;

/// File systems that are told.
pub(super) const MOUNTS_MAX: usize = 32;
/// Kinds without a block device of their own that hold people's files all the same.
const KINDS_WITHOUT_DEVICE: [&str; 17] = [
    "9p",
    "afs",
    "bcachefs",
    "btrfs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.mergerfs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
    "virtiofs",
    "vboxsf",
    "zfs",
];
/// Images that are always full.
const IMAGES: [&str; 5] = ["squashfs", "iso9660", "udf", "erofs", "cramfs"];
/// Below these stand the system's own mounts and the files that container engines mount.
const SYSTEM_FOLDERS: [&str; 8] =
    ["/proc", "/sys", "/dev", "/run", "/etc", "/snap", "/var/lib/docker", "/var/lib/containers"];

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where, as the host names it.
    pub(super) point: PathBuf,
    /// Its name in samples.
    pub(super) name: Text,
    /// The device behind it.
    pub(super) device: Text,
    /// The kind of file system.
    pub(super) fs: Text,
    /// The device's number, which tells duplicates apart.
    id: Text,
}

/// Each line of a mountinfo that can be read, in order of mounting.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    // `id parent major:minor root point options [optional…] - kind device options`
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let (id, point) = (place.next()?, place.nth(1)?);
    let mut what = what.split(' ');
    let (fs, device) = (what.next()?, what.next()?);
    let point = PathBuf::from(unescape(point));
    if !point.is_absolute() || id.is_empty() || fs.is_empty() {
        return None;
    }
    let name = Text::fit(&point.to_string_lossy());
    Some(Mount { name, point, device: Text::fit(&unescape(device)), fs: Text::fit(fs), id: Text::fit(id) })
}

/// White space and backslashes stand as three octal digits behind a backslash.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escaped = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let (c, length) = escaped.filter(u8::is_ascii).map_or(('\\', 1), |byte| (char::from(byte), 4));
        plain.push(c);
        rest = &rest[at + length..];
    }
    plain + rest
}

/// The file systems to tell, by mount point.
pub(super) fn choose(mounted: &[Mount], wanted: &Mounts) -> Vec<Mount> {
    // What was mounted over is hidden.
    let visible: BTreeMap<&Path, &Mount> =
        mounted.iter().map(|mount| (mount.point.as_path(), mount)).collect();
    let mut chosen: Vec<Mount> = match wanted {
        Mounts::List(points) => points.iter().map(|point| listed(&visible, point)).collect(),
        Mounts::Auto => {
            let mut told: Vec<&Mount> = visible.values().copied().filter(|mount| is_real(mount)).collect();
            // Of the places where one device is mounted, the shortest is its own; the rest are bound to it.
            told.sort_by_key(|mount| (mount.point.as_os_str().len(), &mount.point));
            let mut devices = std::collections::BTreeSet::new();
            told.retain(|mount| devices.insert(&mount.id));
            told.into_iter().cloned().collect()
        }
    };
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen.dedup_by(|a, b| a.name == b.name);
    chosen.truncate(MOUNTS_MAX);
    chosen
}

/// A place that was asked for: the file system mounted there, else the one it lies in.
fn listed(visible: &BTreeMap<&Path, &Mount>, point: &Path) -> Mount {
    let around = point.ancestors().find_map(|folder| visible.get(folder));
    let text = |of: fn(&Mount) -> &Text| around.map(|mount| of(mount).clone()).unwrap_or_default();
    Mount {
        point: point.to_owned(),
        name: Text::fit(&point.to_string_lossy()),
        device: text(|mount| &mount.device),
        fs: text(|mount| &mount.fs),
        id: text(|mount| &mount.id),
    }
}

fn is_real(mount: &Mount) -> bool {
    let (fs, device) = (mount.fs.as_str(), mount.device.as_str());
    let on_device = device.starts_with("/dev/") && !device.starts_with("/dev/loop");
    let of_container = fs == "overlay" && mount.point == Path::new("/");
    let system = SYSTEM_FOLDERS.iter().any(|folder| mount.point.starts_with(folder));
    (on_device || of_container || KINDS_WITHOUT_DEVICE.contains(&fs)) && !IMAGES.contains(&fs) && !system
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOUNTINFO: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334492k
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda1 rw,discard
40 27 254:0 /srv/www /var/www rw,relatime - ext4 /dev/vda1 rw
41 27 8:17 / /mnt/My\040Disk\011\134 rw,noatime - xfs /dev/sdb1 rw
42 27 7:3 / /snap/core/1 ro - squashfs /dev/loop3 ro
43 27 0:50 / /media/share rw - nfs4 nas:/export/a\040b rw
44 27 0:51 / /run/user/0 rw - tmpfs tmpfs rw
45 27 254:0 /docker/hosts /etc/hosts rw - ext4 /dev/vda1 rw
46 27 9:0 / /data rw - ext4 /dev/md0 rw
47 27 9:1 / /data rw - ext4 /dev/md1 rw
48 27 0:52 /sub /home rw - btrfs /dev/sdc rw
49 27 0:52 /other /home/other rw - btrfs /dev/sdc rw
50 27 0:53 / /merged rw - overlay overlay rw
51 27 11:0 / /media/cd ro - iso9660 /dev/sr0 ro";

    #[test]
    fn real_file_systems_are_told_once() {
        let chosen = choose(&parse(MOUNTINFO), &Mounts::Auto);
        let told: Vec<_> =
            chosen.iter().map(|it| (it.name.as_str(), it.device.as_str(), it.fs.as_str())).collect();
        let expected = [
            ("/", "/dev/vda1", "ext4"),
            ("/data", "/dev/md1", "ext4"),
            ("/home", "/dev/sdc", "btrfs"),
            ("/media/share", "nas:/export/a b", "nfs4"),
            ("/mnt/My Disk?\\", "/dev/sdb1", "xfs"),
        ];
        assert_eq!(told, expected);
        assert_eq!(chosen[4].point, Path::new("/mnt/My Disk\t\\"), "what is asked is the true path");
    }

    #[test]
    fn a_list_tells_what_it_names_whatever_that_is() {
        let list = Mounts::List(["/run/user/0", "/srv", "/data"].map(PathBuf::from).into());
        let chosen = choose(&parse(MOUNTINFO), &list);
        let told: Vec<_> = chosen.iter().map(|it| (it.name.as_str(), it.device.as_str())).collect();
        assert_eq!(told, [("/data", "/dev/md1"), ("/run/user/0", "tmpfs"), ("/srv", "/dev/vda1")]);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        for none in [
            "",
            " - ",
            "1 2 3:4 / /x rw",
            "1 2 3:4 / - ext4",
            "1 2 3:4 / relative rw - ext4 /dev/x rw",
            "- - - - - - -",
        ] {
            assert!(parse(none).is_empty(), "{none:?}");
        }
        assert_eq!(unescape(r"a\040b\\999\04\777é\"), "a b\\\\999\\04\\777é\\");
    }

    #[test]
    fn thousands_of_mounts_are_cut() {
        let many: String =
            (0..5000).map(|n| format!("1 2 8:{n} / /m{n} rw - ext4 /dev/sd{n} rw\n")).collect();
        assert_eq!(choose(&parse(&many), &Mounts::Auto).len(), MOUNTS_MAX);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[0-9 :/a-z\\\\\u{e9}-]{0,200}", any: String) {
            let _ = choose(&parse(&text), &Mounts::Auto);
            let _ = (parse(&any), unescape(&any), unescape(&text));
        }
    }
}
