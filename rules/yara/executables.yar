// Executables: miners, and small programs that fetch or are a remote shell. Written so that the
// text of a rule is not what it looks for: the sensor has these rules in itself.

rule elf_miner
{
    meta:
        title = "Executable: a cryptocurrency miner"
        description = "an executable speaks the protocol of mining pools"
        severity = "high"
        confidence = 85
        attack = "T1496 impact"
        false_positives = "miners that somebody runs on purpose"
    strings:
        $pool = /stratu[m]\+(tcp|ssl|tls|udp):/
        $subscribe = /minin[g]\.(subscribe|authorize|submit|notify)/
        $login = /"jo[b]_id"|"nonc[e]":/
        $donate = /donat[e]-(level|over-proxy)/
        $algorithm = /rando[m]x|cryptonigh[t]|kawpo[w]|argon2\/chukw[a]|ghostride[r]/ nocase
        $name = /xmri[g]|nanomine[r]|lolmine[r]|t-re[x]|nbmine[r]/ nocase
        $hashrate = /hashrat[e]|H\/[s] max/
    condition:
        uint32(0) == 0x464c457f and
        ($pool or $subscribe) and 2 of ($login, $donate, $algorithm, $name, $hashrate, $subscribe)
}

rule elf_shellcode_connects
{
    meta:
        title = "Executable: a few bytes that connect out and take over"
        description = "a small executable is little more than machine code that connects and runs what comes, or a shell"
        severity = "critical"
        confidence = 88
        attack = "T1059 T1095 T1105 execution command-and-control"
        false_positives = "exercises in writing machine code"
    strings:
        $socket64 = { 6A 29 58 [0-2] 6A 02 5F 6A 01 5E [0-4] 0F 05 }
        $connect64 = { 6A 2A 58 0F 05 }
        $dup64 = { 6A 21 58 0F 05 75 }
        $map64 = { 6A 09 58 99 B6 10 48 89 D6 4D 31 C9 6A 22 41 5A }
        $socket32 = { 31 DB F7 E3 53 43 53 6A 02 [0-4] 89 E1 CD 80 }
        $socket32b = { 31 DB F7 E3 53 43 53 6A 02 B0 66 89 E1 CD 80 }
        $dup32 = { B0 3F CD 80 49 79 }
        $sh64 = { 48 BB 2F 62 69 6E 2F 73 68 00 }
    condition:
        uint32(0) == 0x464c457f and filesize < 64KB and
        (2 of ($socket64, $connect64, $dup64, $map64, $sh64) or any of ($socket32, $socket32b) and $dup32 or $socket32b)
}

rule elf_packed
{
    meta:
        title = "Executable: packed with UPX"
        description = "an executable is packed, so that what it does cannot be read from it"
        severity = "low"
        confidence = 40
        attack = "T1027.002 defense-evasion"
        false_positives = "programs that are packed to be small"
    strings:
        $mark = { 55 50 58 21 }
        $text = /Info: This file is packe[d] with the/
    condition:
        uint32(0) == 0x464c457f and #mark >= 2 and ($text or $mark in (0..1024))
}
