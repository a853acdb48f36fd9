/**
 * The handful of C functions behind the driver, called through koffi: a foreign function interface that carries
 * its compiled part for each platform, so that nothing is compiled or fetched at install time.
 *
 * A call costs well under a microsecond and blocks the thread, so only calls that cannot wait are made here: the
 * descriptors are non-blocking. Failures are returned as negative errno, as system calls do inside the kernel: most of
 * them (EAGAIN) are no exceptions.
 */
import { createRequire } from 'node:module'
import { SystemError } from './errors.js'

/** What is used of koffi; its own types come with a package that may not be installed. */
interface Koffi {
  load(path: null): { func(prototype: string): (...args: unknown[]) => unknown }
  errno(): number
  address(value: Buffer): bigint
  readonly node: {
    poll(fd: number, events: { readable?: boolean; disconnect?: boolean }, callback: (status: number, events: { readable: boolean }) => void): PollHandle
  }
}

interface PollHandle {
  close(): void
}

export interface Libc {
  /** The following return a result, or a negative errno. */
  open(path: string, flags: number): number
  close(fd: number): number
  read(fd: number, buffer: Buffer): number
  write(fd: number, bytes: Buffer): number
  /** One write of several pieces, `MAX_PIECES` at most. */
  writev(fd: number, pieces: readonly Buffer[]): number
  mount(source: string, target: string, type: string, flags: number, data: string): number
  socketpair(): [number, number] | number
  fcntl(fd: number, command: number, argument: number): number
  /** Receives one byte and the descriptor beside it (SCM_RIGHTS, unix(7)), close-on-exec. */
  receiveDescriptor(socket: number): number
  /**
   * Calls back, on this thread and from its event loop, while `fd` is readable or has failed. Keeps the process alive
   * until `close`.
   */
  watch(fd: number, callback: () => void): PollHandle
}

// x86-64, arm64, riscv64, loong64 and ppc64 agree on all of these.
export const O_RDWR = 2
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000
export const F_SETFL = 4
const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 1 | O_CLOEXEC
const MSG_CMSG_CLOEXEC = 0x40000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const IOVEC_BYTES = 16
const MAX_PIECES = 8

let loaded: Libc | undefined

/** @throws Error when koffi is not installed or has nothing for this machine */
export function loadLibc(): Libc {
  return loaded ??= bind(createRequire(import.meta.url)('koffi') as Koffi)
}

function bind(koffi: Koffi): Libc {
  const lib = koffi.load(null)
  const result = (value: unknown): number => ((value as number) < 0 ? -koffi.errno() : value as number)
  const [open, close, read, write, mount, socketpair, fcntl, recvmsg, writev] = [
    'int open(const char* path, int flags, int mode)',
    'int close(int fd)',
    'intptr_t read(int fd, void* buffer, size_t size)',
    'intptr_t write(int fd, const void* buffer, size_t size)',
    'int mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data)',
    'int socketpair(int domain, int type, int protocol, void* pair)',
    'int fcntl(int fd, int command, intptr_t argument)',
    'intptr_t recvmsg(int socket, void* message, int flags)',
    'intptr_t writev(int fd, const void* vector, int count)',
  ].map((prototype) => lib.func(prototype)) as [Call, Call, Call, Call, Call, Call, Call, Call, Call]
  // The call is over before anybody else can use it.
  const vector = Buffer.alloc(MAX_PIECES * IOVEC_BYTES)

  return {
    open: (path, flags) => result(open(path, flags, 0)),
    close: (fd) => result(close(fd)),
    read: (fd, buffer) => result(read(fd, buffer, buffer.length)),
    write: (fd, bytes) => result(write(fd, bytes, bytes.length)),
    writev: (fd, pieces) => {
      pieces.forEach((piece, index) => writeIovec(koffi, vector, index * IOVEC_BYTES, piece))
      return result(writev(fd, vector, pieces.length))
    },
    mount: (source, target, type, flags, data) => result(mount(source, target, type, flags, data)),
    socketpair: () => {
      const pair = Buffer.alloc(8)
      const code = result(socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair))
      return code < 0 ? code : [pair.readInt32LE(0), pair.readInt32LE(4)]
    },
    fcntl: (fd, command, argument) => result(fcntl(fd, command, argument)),
    receiveDescriptor: (socket) => receive(koffi, (message) => result(recvmsg(socket, message, MSG_CMSG_CLOEXEC))),
    watch: (fd, callback) => koffi.node.poll(fd, { readable: true }, () => callback()),
  }
}

type Call = (...args: unknown[]) => unknown

/** struct iovec, two words. The bytes of a Buffer do not move. */
function writeIovec(koffi: Koffi, target: Buffer, at: number, piece: Buffer): void {
  target.writeBigUInt64LE(koffi.address(piece), at)
  target.writeBigUInt64LE(BigInt(piece.length), at + 8)
}

/** struct msghdr with room for one byte and one struct cmsghdr that holds one descriptor, on 64-bit machines. */
function receive(koffi: Koffi, recvmsg: (message: Buffer) => number): number {
  const byte = Buffer.alloc(1)
  const control = Buffer.alloc(24)
  const iovec = Buffer.alloc(IOVEC_BYTES)
  writeIovec(koffi, iovec, 0, byte)
  const message = Buffer.alloc(56)
  message.writeBigUInt64LE(koffi.address(iovec), 16)
  message.writeBigUInt64LE(1n, 24)
  message.writeBigUInt64LE(koffi.address(control), 32)
  message.writeBigUInt64LE(BigInt(control.length), 40)
  const received = recvmsg(message)
  if (received < 0) return received
  const [length, level, type] = [control.readBigUInt64LE(0), control.readInt32LE(8), control.readInt32LE(12)]
  if (received === 0 || length < 20n || level !== SOL_SOCKET || type !== SCM_RIGHTS) throw new SystemError('recvmsg: no descriptor', 0)
  return control.readInt32LE(16)
}
