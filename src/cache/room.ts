/**
 * Room for the store on a disk that is full. LMDB must never meet one: a failed commit leaves its JavaScript side waiting and its
 * memory damaged. So the database file always has some MiB more than it uses, allocated beforehand (fallocate(2), which touches no
 * data), and grows before they are used up. When it cannot grow the disk counts as full: nothing new is begun (fs/full-disk.ts), and
 * what is left is for records of what has happened.
 *
 * Where there is no fallocate (a file system without it, another system) all is as it was: LMDB takes what it finds.
 */
import { spawn, spawnSync } from 'node:child_process'

/** Allocated and not used, at least, besides what is written in one go. */
const SPARE_BYTES = 2 * 2 ** 20
const STEP_BYTES = 4 * 2 ** 20
/** How often the use is looked at, at most; a burst of records in between is far below SPARE_BYTES. */
const LOOK_MS = 200
/** So much written since the last look is looked at at once, bytes. */
const LOOK_BYTES = 2 ** 18
/** How soon a full disk is tried again. */
const RETRY_MS = 1_000

const FULL = /No space left|quota exceeded/i

export class StoreRoom {
  private readonly file: string
  private readonly usedBytes: () => number
  private readonly spare: number
  private allocated = 0
  private lacking = false
  private possible = true
  private running = false
  private looked = 0
  private spent = 0

  /**
   * Allocates at once.
   * @param usedBytes how far the database uses its file
   * @param atOnce so much may be written before the next look
   */
  constructor(file: string, usedBytes: () => number, atOnce = 0) {
    this.file = file
    this.usedBytes = usedBytes
    this.spare = SPARE_BYTES + atOnce
    const wanted = this.wanted()
    const { status, stderr } = spawnSync('fallocate', this.words(wanted), { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'], env: this.env() })
    this.grown(wanted, status, stderr ?? '')
  }

  /** Could the file not grow when it had to? Looks after it in the background. */
  get full(): boolean {
    this.look()
    return this.lacking
  }

  /** A record of so many bytes is written. */
  spend(bytes: number): void {
    this.spent += bytes
    if (this.spent >= LOOK_BYTES) this.look()
  }

  /** To be called now and then while something is written. */
  look(): void {
    const now = Date.now()
    const due = now - this.looked >= (this.lacking ? RETRY_MS : LOOK_MS) || (!this.lacking && this.spent >= LOOK_BYTES)
    if (this.running || !this.possible || !due) return
    this.looked = now
    this.spent = 0
    if (!this.lacking && this.usedBytes() + this.spare <= this.allocated) return
    const wanted = this.wanted()
    this.running = true
    const child = spawn('fallocate', this.words(wanted), { stdio: ['ignore', 'ignore', 'pipe'], env: this.env() })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    const over = (status: number | null): void => {
      this.running = false
      this.grown(wanted, status, stderr)
    }
    child.once('error', () => over(null))
    child.once('close', over)
  }

  private wanted(): number {
    return Math.max(this.allocated, this.usedBytes() + this.spare + STEP_BYTES)
  }

  private words(bytes: number): string[] {
    return ['--length', String(bytes), '--', this.file]
  }

  /** Its words are matched. */
  private env(): NodeJS.ProcessEnv {
    return { ...process.env, LC_ALL: 'C' }
  }

  private grown(bytes: number, status: number | null, said: string): void {
    if (status === 0) this.allocated = bytes
    this.lacking = status !== 0 && FULL.test(said)
    this.possible = status === 0 || this.lacking
  }
}
