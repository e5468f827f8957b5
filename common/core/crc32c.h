/* crc32c.h - CRC-32C (Castagnoli), the checksum of objects and of the campaign file.
 *
 * Polynomial 0x1EDC6F41 reflected, initial value and final xor 0xFFFFFFFF, as in RFC 3720 (iSCSI), appendix B.4.
 */
#ifndef STRATA_CORE_CRC32C_H
#define STRATA_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` stood for (0: nothing yet) followed by these bytes. */
uint32_t crc32c (uint32_t crc, const void *data, size_t size);
/* The same without the processor's own instruction: what other processors run, and what tests compare with. */
uint32_t crc32c_portable (uint32_t crc, const void *data, size_t size);

#endif
