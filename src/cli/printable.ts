/** Names come from others: on a terminal none of them may move the cursor or change a colour. */

/** Control characters become `?`. */
export const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')

/** For results that programs read too: as it is, unless stdout is a terminal. */
export const forStdout = (text: string): string => (process.stdout.isTTY ? printable(text) : text)
