//! The shell: sockets, files, tasks; it moves bytes and decides nothing.
