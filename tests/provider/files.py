"""Files as customers upload them, in as few bytes as show what they are.

Used by the tests of assets.
"""

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 16
GIF = b"GIF89a" + b"\0" * 16
WEBP = b"RIFF\x10\0\0\0WEBPVP8 "
PDF = b"%PDF-1.7\n%%EOF\n"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
ODP = b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.opendocument.presentationPK"
ODT = b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.opendocument.textPK"
PPTX = b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xmlPK\x01\x02ppt/presentation.xmlPK"
CSS = b"#bar { color: #123456; background: url(data:image/png;base64,AAAA) }\n"
