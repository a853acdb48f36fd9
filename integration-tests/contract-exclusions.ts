/**
 * Recorded exchanges that the embedded server is not held to, each with the reason. They are still played where later
 * exchanges need their effect, unless `skip` is set. The contract replay fails for an entry that matches after all.
 */
export interface Exclusion {
  /** Recording and position, `01-auth#42`. */
  readonly item: string
  readonly reason: string
  /** Not even sent. */
  readonly skip?: boolean
  /** Matches in some runs, because the outcome was a race on the real server. */
  readonly sometimes?: boolean
}

const raceOfRefreshes = 'three refreshes at one moment: which of them got a 200 was chance on the real server (src/demo/auth/auth.test.ts has the rule)'

const webDav = 'WebDAV is not part of the embedded server: nothing here speaks it'
const compress = 'the zip and compress jobs are not part of the embedded server: nothing here asks for them'

export const EXCLUSIONS: readonly Exclusion[] = [
  ...[41, 42, 43, 46].map((i) => ({ item: `01-auth#${i}`, reason: raceOfRefreshes, skip: true })),
  { item: '02b-names-order-hidden#25', reason: webDav },
  { item: '02b-names-order-hidden#26', reason: webDav },
  { item: '03-create-and-permissions#67', reason: 'deleting a workspace root was accepted and damaged it; the embedded server refuses, as 4.x and later do', skip: true },
  { item: '03-create-and-permissions#64', reason: 'the node may be written to through another workspace; by which of its paths a user-meta call sees it is not defined' },
  { item: '06-meta-search-shares-idm#12', reason: 'the rows of the policies had no number yet, unlike in #4: an artefact of the database' },
  { item: '06-meta-search-shares-idm#30', reason: 'versioning policies are an administrator\'s settings that nothing here reads' },
  { item: '06-meta-search-shares-idm#42', reason: 'the root of a cell also carries workspaces_shares, the whole description of the cell, which nothing here reads' },
  { item: '06-meta-search-shares-idm#46', reason: 'counts what the recorder had lying about in the personal folder from before' },
  { item: '06-meta-search-shares-idm#67', reason: compress },
  { item: '06-meta-search-shares-idm#68', reason: compress },
  { item: '07-websocket#13', reason: 'the events also carried the reader\'s own bookmark of the file, which nothing here reads' },
  { item: '07-websocket#20', reason: 'a burst of 60 files: how many of its events are merged and dropped depends on the time', skip: true },
  { item: '09-later-checks#1', reason: 'looks again at the state of 04c-s3-races-and-folder-delete#20, where it is compared' },
  { item: '09-later-checks#11', reason: 'which ten of more than ten matches come first is the search engine\'s ranking' },
  { item: '09-later-checks#20', reason: 'two renames at one moment both got past the lock; one after the other, the second meets it (423)', sometimes: true },
]
