/** The little XML that S3 speaks. */
export const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
export const XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;', '\t': '&#x9;', '\n': '&#xA;', '\r': '&#xD;' }

export const escapeXml = (text: string): string => text.replace(/[&<>"'\t\n\r]/g, char => ENTITIES[char] ?? char)

/** An element whose text is escaped. */
export const el = (name: string, text: string | number): string => `<${name}>${escapeXml(String(text))}</${name}>`
