/** Extended attributes for shell scripts of tests: a bare machine has no getfattr, and perl is part of every Debian. */

/** Number of the system call getxattr. */
const GETXATTR = process.arch === 'arm64' ? 8 : 191

/** A shell command that prints an attribute of a file. `path`: as the shell is to read it. */
export function xattrCommand(name: string, path: string): string {
  const script = `my ($path, $name) = @ARGV; my $value = "\\0" x 4096; my $n = syscall(${GETXATTR}, $path, $name, $value, length $value); $n < 0 and die "$!\\n"; print substr($value, 0, $n)`
  return `perl -e '${script}' ${path} ${name}`
}
