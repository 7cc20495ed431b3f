//! The balancers that are compared, and how each is set up.
//!
//! All get the same work: one listening address, one server, no logs, room for as many connections as the work needs,
//! one thread or one worker. Beyond that each has what its own manual recommends, with the reason beside it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::process::Process;

/// A balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nobody: the clients connect to the server.
    Direct,
    /// This one.
    Pen,
    /// This one, with connections that are opened ahead.
    PenIdlers,
    /// This one, with a limit for what the kernel keeps for a connection.
    PenCapped,
    /// Ulric Eriksson's.
    OldPen,
    Haproxy,
    /// haproxy, told to move bytes inside the kernel.
    HaproxySplice,
    Nginx,
    Rinetd,
    Sozu,
}

/// All of them, in the order of the tables.
pub const KINDS: [Kind; 8] =
    [Kind::Direct, Kind::Pen, Kind::OldPen, Kind::Haproxy, Kind::HaproxySplice, Kind::Nginx, Kind::Rinetd, Kind::Sozu];

impl Kind {
    /// Its name in the tables and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Direct => "direct",
            Kind::Pen => "pen",
            Kind::PenIdlers => "pen, idlers",
            Kind::PenCapped => "pen, socket_buffers 64",
            Kind::OldPen => "pen 0.34.1",
            Kind::Haproxy => "haproxy",
            Kind::HaproxySplice => "haproxy splice",
            Kind::Nginx => "nginx",
            Kind::Rinetd => "rinetd",
            Kind::Sozu => "sozu",
        }
    }

    /// How to get it on Debian or Ubuntu.
    pub fn source(self) -> &'static str {
        match self {
            Kind::Direct | Kind::Pen | Kind::PenIdlers | Kind::PenCapped => "cargo build --release",
            Kind::OldPen => "apt-get install pen",
            Kind::Haproxy | Kind::HaproxySplice => "apt-get install haproxy",
            Kind::Nginx => "apt-get install nginx-light libnginx-mod-stream",
            Kind::Rinetd => "apt-get install rinetd",
            Kind::Sozu => "cargo install sozu",
        }
    }

    /// The program, if it is there.
    pub fn program(self, pen: &Path) -> Option<PathBuf> {
        match self {
            Kind::Direct => Some(PathBuf::new()),
            Kind::Pen | Kind::PenIdlers | Kind::PenCapped => Some(pen.to_path_buf()),
            // As for the tests: another build of the old pen can be named.
            Kind::OldPen => std::env::var_os("PEN_UNDER_TEST").map_or_else(|| find("pen"), |path| Some(path.into())),
            Kind::Haproxy | Kind::HaproxySplice => find("haproxy"),
            Kind::Nginx => find("nginx").filter(|_| Path::new(STREAM_MODULE).exists()),
            Kind::Rinetd => find("rinetd"),
            Kind::Sozu => std::env::var_os("SOZU").map_or_else(|| find("sozu"), |path| Some(path.into())),
        }
    }
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Where programs are, those for administrators too.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/local/sbin";
    path.split(':').map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

/// What a balancer is to do.
#[derive(Clone, Debug)]
pub struct Task {
    pub listen: SocketAddr,
    pub server: SocketAddr,
    /// Connections at once.
    pub connections: usize,
    /// Many bytes on few connections: buffers may be large.
    pub is_bulk: bool,
    /// Further words for this pen's command line.
    pub pen_options: Vec<String>,
}

/// Starts a balancer; `dir` is for its files. It may not be ready yet.
pub fn start(kind: Kind, program: &Path, task: &Task, cpus: &str, dir: &Path) -> io::Result<Process> {
    let name = kind.name().replace([' ', ','], "-") + "-" + &task.listen.port().to_string();
    let dir = dir.join(name);
    fs::create_dir_all(&dir)?;
    let command = command(kind, program, task, &dir)?;
    Process::start(&command, cpus, dir.join("words"))
}

fn command(kind: Kind, program: &Path, task: &Task, dir: &Path) -> io::Result<Vec<String>> {
    let Task { listen, server, connections, .. } = task;
    // A few more than the work needs, so that nobody waits for a place.
    let room = connections + 20;
    let words: Vec<String> = match kind {
        Kind::Direct => unreachable!("nobody is not started"),
        // Room for the connections, and for as many connects at once as the work begins; the queue in the kernel is
        // the peers' default of 4096 or so.
        Kind::Pen | Kind::PenIdlers | Kind::PenCapped | Kind::OldPen => {
            let mut words = vec![String::from("-f"), String::from("-x"), room.to_string()];
            words.extend(["-q", "4096", "-O", "pending_max 1000"].map(String::from));
            if kind == Kind::PenIdlers {
                words.extend(["-O", "idlers 16"].map(String::from));
            }
            if kind == Kind::PenCapped {
                words.extend(["-O", "socket_buffers 64"].map(String::from));
            }
            if kind != Kind::OldPen {
                words.extend(task.pen_options.iter().cloned());
            }
            words.extend([listen.to_string(), server.to_string()]);
            words
        }
        Kind::Haproxy | Kind::HaproxySplice => {
            let file = write(dir, "haproxy.cfg", &haproxy(task, room, kind == Kind::HaproxySplice))?;
            ["-db", "-q", "-f", &file].map(String::from).into()
        }
        Kind::Nginx => {
            let file = write(dir, "nginx.conf", &nginx(task, room, dir))?;
            ["-c", &file, "-e", "stderr"].map(String::from).into()
        }
        Kind::Rinetd => {
            // It has no settings that matter here.
            let text = format!("{} {} {} {}\n", listen.ip(), listen.port(), server.ip(), server.port());
            ["-f", "-c", &write(dir, "rinetd.conf", &text)?].map(String::from).into()
        }
        Kind::Sozu => ["start", "-c", &write(dir, "sozu.toml", &sozu(task, room, dir))?].map(String::from).into(),
    };
    Ok([program.display().to_string()].into_iter().chain(words).collect())
}

/// One thread, as all others; `nbthread` would be the number of processors. Time-outs are set because haproxy warns
/// without them, and longer than any work here. Splicing is forced: `splice-auto` decides against it on loopback.
/// Pipes need descriptors, two a direction, of which `maxpipes` allows as many as bulk work uses.
fn haproxy(task: &Task, room: usize, splice: bool) -> String {
    let Task { listen, server, .. } = task;
    let splice = if splice { "    option splice-request\n    option splice-response\n" } else { "" };
    // Thousands of connections that carry next to nothing need the descriptors themselves.
    let pipes = if room > 1_000 { 20 } else { room.min(100) };
    let pipes = if splice.is_empty() { String::new() } else { format!("    maxpipes {pipes}\n") };
    format!(
        "global\n    nbthread 1\n    maxconn {room}\n{pipes}\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n{splice}\
         listen all\n    bind {listen} backlog 4096\n    server one {server}\n"
    )
}

/// One worker, which has two connections for each client, and some for those that it has not yet seen leave: without a
/// free one it drops whoever comes. `multi_accept` takes all that wait at once, as pen and
/// haproxy do. 16 KiB buffers are the default and right for many connections; for bulk work larger ones cost less.
fn nginx(task: &Task, room: usize, dir: &Path) -> String {
    let Task { listen, server, is_bulk, .. } = task;
    let (workers, dir) = (2 * room + 512, dir.display());
    let buffers = if *is_bulk { "proxy_buffer_size 64k; " } else { "" };
    format!(
        "load_module {STREAM_MODULE};\nuser root;\ndaemon off;\nworker_processes 1;\npid {dir}/pid;\n\
         error_log stderr warn;\nevents {{ worker_connections {workers}; multi_accept on; }}\n\
         stream {{ server {{ listen {listen} backlog=4096; proxy_pass {server}; proxy_timeout 1h; {buffers}}} }}\n"
    )
}

/// One worker beside its main process, which has nothing to do here. Buffers are its default of 16 KiB, or 64 KiB for
/// bulk work.
fn sozu(task: &Task, room: usize, dir: &Path) -> String {
    let Task { listen, server, is_bulk, .. } = task;
    let dir = dir.display();
    let buffer = if *is_bulk { 65_536 } else { 16_393 };
    let buffers = 2 * room + 100;
    // It takes nobody any more when it is nearly full, and does not start with more than there may be descriptors for.
    let room = if room < 5_000 { buffers } else { room };
    format!(
        "command_socket = \"{dir}/sozu.sock\"\nsaved_state = \"{dir}/state.json\"\nlog_level = \"error\"\n\
         log_target = \"stdout\"\nactivate_listeners = true\nworker_count = 1\nworker_automatic_restart = false\n\
         handle_process_affinity = false\nmax_connections = {room}\nmin_buffers = 1\nmax_buffers = {buffers}\nbuffer_size = {buffer}\n\
         [[listeners]]\nprotocol = \"tcp\"\naddress = \"{listen}\"\n\
         [clusters.all]\nprotocol = \"tcp\"\nfrontends = [{{ address = \"{listen}\" }}]\n\
         backends = [{{ address = \"{server}\" }}]\n"
    )
}

fn write(dir: &Path, name: &str, text: &str) -> io::Result<String> {
    let path = dir.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}
