// Webshells and remote shells in Python, Node, Perl, Ruby and the shell, and settings of web
// servers that make other files run.

rule python_request_to_code
{
    meta:
        title = "Python: request input is run"
        description = "a function that runs commands or code is given what a request brought"
        severity = "critical"
        confidence = 88
        attack = "T1505.003 T1059.006 persistence execution"
        false_positives = "very careless administration panels"
    strings:
        $direct = /(^|[^\w.'"])(os\.(system|popen)|subprocess\.(run|call|Popen|check_output|getoutput|getstatusoutput)|commands\.getoutput|eval|exec)\s?\([^\n;]{0,80}\b(request\s?\.\s?(args|form|values|data|json|cookies|headers|GET|POST|body|META|get_json|get_data|query_params)|self\.(get_argument|request\.)|environ\s?\[\s?['"](QUERY_STRING|HTTP_)|getvalue\s?\(\s?['"]|getfirst\s?\()/
    condition:
        // Large files of another kind only cost time.
        (filesize < 256KB or (uint32(0) != 0x464c457f and uint16(0) != 0x3f3c)) and
        ($direct)
}

rule python_request_kept_then_run
{
    meta:
        title = "Python: a small page that runs what it was sent"
        description = "a small file takes request input into a variable, and runs a variable"
        severity = "high"
        confidence = 75
        attack = "T1505.003 T1059.006 persistence execution"
        false_positives = "small tools of an administrator's own"
    strings:
        $taken = /\w{1,30}\s?=\s?[^\n]{0,30}(\brequest\s?\.\s?(args|form|values|data|json|cookies|headers|GET|POST|body|get_json|get_data|query_params)\b|\.getvalue\s?\(\s?['"]|\.getfirst\s?\(|self\.get_argument|environ\s?\[\s?['"](QUERY_STRING|HTTP_)|parse_qs\s?\(|rfile\.read\s?\()/
        $run = /(^|[^\w.'"])(os\.(system|popen)|subprocess\.(run|call|Popen|check_output|getoutput)|eval|exec)\s?\(\s?(\[([^\]\n]{0,40},)?\s?)?[A-Za-z_]\w{0,30}\s?[,\])\.]/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 4KB and all of them)
}

rule python_decoder_to_code
{
    meta:
        title = "Python: decoded text is run as code"
        description = "exec or eval is given what decoders make of a text"
        severity = "high"
        confidence = 80
        attack = "T1027 T1140 T1059.006 defense-evasion execution"
        false_positives = "programs that hide their code"
    strings:
        $call = /(^|[^\w.'"])(exec|eval)\s?\(\s?(compile\s?\(\s?)?((zlib|base64|marshal|codecs|binascii|bz2|gzip|lzma)\.)?(decompress|b64decode|b32decode|b85decode|unhexlify|a2b_\w{2,10}|loads)\s?\(/
        $import = /(^|[^\w.'"])(exec|eval)\s?\(\s?(compile\s?\(\s?)?__import__\s?\(\s?['"](zlib|base64|marshal|codecs|binascii|bz2)['"]\s?\)/
    condition:
        // Large files of another kind only cost time.
        (filesize < 256KB or (uint32(0) != 0x464c457f and uint16(0) != 0x3f3c)) and
        (any of them)
}

rule python_socket_shell
{
    meta:
        title = "Python: a shell is joined to a connection"
        description = "standard streams become a connection, and a shell is started"
        severity = "critical"
        confidence = 88
        attack = "T1059.006 T1095 execution command-and-control"
        false_positives = "tests of terminals"
    strings:
        $connect = /\.connect\s?\(\s?\(/
        $dup = /os\.dup2\s?\(\s?\w{1,20}\.fileno\s?\(\s?\)\s?,\s?\w/
        $shell = /pty\.spawn\s?\(|subprocess\.(call|run|Popen)\s?\(\s?\[?\s?['"](\/bin\/)?(ba|da|z)?sh\b|os\.(system|exec\w{1,3})\s?\(\s?['"](\/bin\/)?(ba)?sh\b/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 64KB and all of them)
}

rule node_request_to_code
{
    meta:
        title = "Node: request input is run"
        description = "a function that runs commands or code is given what a request brought"
        severity = "critical"
        confidence = 85
        attack = "T1505.003 T1059.007 persistence execution"
        false_positives = "tools for developers"
    strings:
        $direct = /(^|[^\w$'"])(exec|execSync|spawn|spawnSync|execFile|execFileSync|eval|Function|runInNewContext|runInThisContext|runInContext)\s?\([^;\n]{0,80}\b(req|request|ctx|ctx\.request|ctx\.req)\s?\.\s?(query|body|params|headers|cookies|url|get\s?\(|header\s?\()/
        $url = /(^|[^\w$'"])(exec|execSync|spawn|spawnSync|eval|Function)\s?\([^;\n]{0,60}(url\.parse|searchParams\.get|querystring\.parse|new URL)\s?\(?/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (any of them)
}

rule node_request_kept_then_run
{
    meta:
        title = "Node: a small server that runs what it was sent"
        description = "a small file takes request input into a variable, and runs a variable"
        severity = "high"
        confidence = 72
        attack = "T1505.003 T1059.007 persistence execution"
        false_positives = "small tools of an administrator's own"
    strings:
        $child = /require\s?\(\s?['"](node:)?child_process['"]\s?\)|from\s{1,4}['"](node:)?child_process['"]|process\.binding\s?\(\s?['"]spawn_sync/
        $taken = /=\s?[^;\n]{0,40}(\b(req|request|ctx)\s?\.\s?(query|body|params|headers|cookies)\b|url\.parse\s?\(\s?req|searchParams)/
        $run = /(^|[^\w$'"])(exec|execSync|spawn|spawnSync|execFile|execFileSync)\s?\(\s?[`\w$]/
        $server = /createServer|express|listen\s?\(|koa|fastify/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 4KB and all of them)
}

rule node_socket_shell
{
    meta:
        title = "Node: a shell is joined to a connection"
        description = "the streams of a shell and of a connection are piped into each other"
        severity = "critical"
        confidence = 85
        attack = "T1059.007 T1095 execution command-and-control"
        false_positives = "terminals for browsers"
    strings:
        $shell = /spawn\s?\(\s?['"](\/bin\/)?(ba|da|z)?sh['"]/
        $net = /require\s?\(\s?['"](node:)?(net|tls)['"]\s?\)/
        $into = /\.pipe\s?\(\s?\w{1,20}\.stdin\s?\)/
        $out = /\.stdout\.pipe\s?\(/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 64KB and all of them)
}

rule perl_request_to_code
{
    meta:
        title = "Perl: request input is run"
        description = "a command, a pipe or eval is given what a request brought"
        severity = "critical"
        confidence = 82
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "very careless administration panels"
    strings:
        $direct = /(^|[^\w>:$'"])(system|exec|eval|open)[\s(]{1,3}[^;\n]{0,60}(\bparam\s?\(|\$ENV\s?\{\s?['"]?(QUERY_STRING|HTTP_\w{1,30}))/
        $ticks = /(=|print|return)\s{0,4}(`|qx\s?[\{(\/])[^`;\n]{0,40}(param\s?\(|\$ENV\s?\{\s?['"]?(QUERY_STRING|HTTP_))/
        $cgi = /\bCGI\b|QUERY_STRING/
        $taken = /\$\w{1,30}\s?=\s?[^;\n]{0,30}(\bparam\s?\(|\$ENV\s?\{\s?['"]?(QUERY_STRING|HTTP_))/
        $run = /(^|[^\w>:$'"])(system|exec|eval)[\s(]{1,3}"?\$\w{1,30}|(`|qx\s?[\{(\/])\s?\$\w{1,30}/
    condition:
        // Large files of another kind only cost time.
        (filesize < 256KB or (uint32(0) != 0x464c457f and uint16(0) != 0x3f3c)) and
        ($cgi and ($direct or $ticks or (filesize < 3KB and $taken and $run)))
}

rule ruby_request_to_code
{
    meta:
        title = "Ruby: request input is run"
        description = "a command or eval is given what a request brought"
        severity = "critical"
        confidence = 82
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "tools for developers"
    strings:
        $call = /(^|[^\w.:'"])(system|exec|eval|spawn|IO\.popen|Open3\.\w{5,10})[\s(]{1,3}[^\n;$@]{0,40}\b(params\s?\[\s?[:'"]|request\.(params|body|env)\b|cgi\s?\[\s?[:'"])/
        $ticks = /(`|%x[\(\{\[])[^`\n]{0,30}#\{\s?(params\s?\[|request\.|cgi\s?\[)/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (any of them)
}

rule shell_remote
{
    meta:
        title = "Shell script: a shell is joined to a connection"
        description = "a line that joins an interactive shell to a peer on the network"
        severity = "high"
        confidence = 78
        attack = "T1059.004 T1095 execution command-and-control"
        false_positives = "cheat sheets, rules and documents on such lines"
    strings:
        $devtcp = /\b(ba|z|k)?sh\s{1,3}-i\s{0,3}[>0-9<&]{1,6}\s{0,3}\/dev\/(tcp|udp)\/[\w.$\{]{1,60}\//
        $exec = /exec\s{1,3}\d{1,3}<>\s?\/dev\/(tcp|udp)\/[^\n]{3,60}\n?[^\n]{0,120}(sh\b|while\s{1,3}read)/
        $fifo = /mkfifo\s{1,3}[^\n;]{1,60};[^\n]{0,80}\bsh\s{1,3}-i[^\n]{0,40}\|\s?(nc|ncat|openssl|telnet|socat)\b/
        $nc = /\b(nc|ncat|netcat)(\.\w{1,12})?\s{1,3}[^\n|;]{0,60}-(e|c)\s?(\/bin\/)?(ba|da)?sh\b/
        $socat = /socat\s{1,3}[^\n]{0,80}\bexec:['"]?(\/bin\/)?(ba|da)?sh\b[^\n]{0,60}(tcp|openssl)[\w-]{0,10}:/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 16KB and any of them)
}

rule web_settings_run_other_files
{
    meta:
        title = "Web server settings: other files are run as code"
        description = "a directory's settings have pictures, texts or every file run as code"
        severity = "medium"
        confidence = 60
        attack = "T1505.003 T1546 persistence"
        false_positives = "firewalls for content management systems prepend a file of their own"
    strings:
        $type = /(^|\n)\s{0,8}(AddType|AddHandler)\s{1,4}[^\n]{0,60}(php|cgi-script)[^\n]{0,60}\.(jpe?g|png|gif|ico|txt|css|svg|webp|log|bmp|pdf)\b/ nocase
        $handler = /(^|\n)\s{0,8}<Files(Match)?\s[^\n>]{0,60}(jpe?g|png|gif|ico|txt|css|svg)[^\n>]{0,20}>\s{0,20}[^<]{0,60}SetHandler\s{1,4}[^\n]{0,40}(php|cgi)/ nocase
        $before = /(^|\n)\s{0,8}(php_value\s{1,4})?auto_(prepend|append)_file\s{0,4}[= ]\s{0,4}["']?[^\s"';#]{1,200}/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 8KB and any of them)
}
