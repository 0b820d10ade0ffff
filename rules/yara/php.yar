// PHP webshells, by how request input comes to be run. Each rule has its samples in
// php.samples.jsonl.

rule php_request_to_code
{
    meta:
        title = "PHP: request input is run as code"
        description = "eval or assert is given what a request brought"
        severity = "critical"
        confidence = 92
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "teaching material on injection"
    strings:
        $eval = /(^|[^\w>$])eval\s{0,8}\([^;]{0,120}(\$_(GET|POST|REQUEST|COOKIE|SERVER|FILES)\b|\$\{\s?['"]_(GET|POST|REQUEST|COOKIE)|filter_input\s?\(|getallheaders\s?\(|apache_request_headers\s?\(|['"]php:\/\/input)/ nocase
        // Others than these ask something of the input, as assert is meant to.
        $assert = /(^|[^\w>$])assert\s{0,8}\(\s?@?((base64_decode|str_rot13|stripc?slashes|strrev|(raw)?urldecode|hex2bin|trim|gz\w{5,10}|implode|join|pack|convert_uudecode|file_get_contents|html_entity_decode|end|reset|current|pos)\s?\(\s?@?){0,5}['"]?\s?(\$_(GET|POST|REQUEST|COOKIE|SERVER|FILES)\b|\$\{\s?['"]_(GET|POST|REQUEST|COOKIE)|filter_input\s?\(|getallheaders\s?\(|apache_request_headers\s?\(|['"]php:\/\/input)/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and any of ($eval, $assert))
}

rule php_request_to_command
{
    meta:
        title = "PHP: request input is run as a command"
        description = "a function that runs commands is given what a request brought"
        severity = "critical"
        confidence = 90
        attack = "T1505.003 T1059.004 persistence execution"
        false_positives = "very careless administration panels"
    strings:
        $call = /(^|[^\w>:$])(system|shell_exec|passthru|popen|proc_open|pcntl_exec|exec)\s{0,8}\([^;]{0,100}(\$_(GET|POST|REQUEST|COOKIE)\b|\$_SERVER\s?\[\s?['"]HTTP_|\$\{\s?['"]_(GET|POST|REQUEST|COOKIE)|filter_input\s?\(|getallheaders\s?\(|['"]php:\/\/input)/ nocase
        $ticks = /(=|echo|print|return|\()\s{0,4}@?`[^`\n]{0,60}\$\{?_(GET|POST|REQUEST|COOKIE)\b/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and any of ($call, $ticks))
}

rule php_function_named_by_request
{
    meta:
        title = "PHP: the request says which function is called"
        description = "a function is called whose name comes with the request"
        severity = "critical"
        confidence = 88
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "very old dispatchers"
    strings:
        $direct = /([;{}(=.@!&|,:?]|<\?(php|=)?|\b(echo|return|print))\s{0,8}@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{][^\]}\n]{1,40}[\]}]\(\s?[@$'")\[]/ nocase
        $braces = /\$\{\s?['"]_(GET|POST|REQUEST|COOKIE)['"]\s?\}\s?[\[{][^\]}\n]{1,30}[\]}]\s?\(/ nocase
        $reflected = /\bnew\s{1,4}\\?ReflectionFunction\s?\(\s?@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]/ nocase
        $made = /\bnew\s{1,4}@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]/ nocase
        $called = /\b(call_user_func(_array)?|array_map|register_shutdown_function|forward_static_call(_array)?)\s{0,4}\(\s{0,4}@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]/ nocase
        $second = /\b(array_filter|array_walk|usort|uasort|uksort|array_reduce|iterator_apply|array_udiff|array_diff_ukey|array_intersect_ukey)\s{0,4}\([^;]{1,90},\s{0,4}@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and (any of ($direct, $braces, $reflected, $called, $second) or ($made and filesize < 3KB)))
}

rule php_callback_runs_request
{
    meta:
        title = "PHP: request input goes to a dangerous callback"
        description = "a function that takes callbacks is told to run commands or code on what a request brought"
        severity = "critical"
        confidence = 90
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "none known"
    strings:
        $sink_first = /\b(call_user_func(_array)?|array_map|register_shutdown_function)\s{0,4}\(\s{0,4}['"](assert|system|exec|passthru|shell_exec|eval|popen|proc_open)['"]\s?,[^;]{0,80}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ nocase
        $input_first = /\b(array_filter|array_walk|array_map|usort|uasort|uksort|array_reduce|iterator_apply|preg_replace_callback|mb_ereg_replace_callback|array_udiff)\s{0,4}\([^;]{0,80}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b[^;]{0,60},\s{0,4}['"](assert|system|exec|passthru|shell_exec|eval)['"]/ nocase
        $replace = /\b(preg_replace|mb_ereg_replace|mb_eregi_replace|preg_filter)\s{0,4}\(\s{0,4}['"]([\/#~|@%!])[^'"\n]{0,40}[\/#~|@%!][imsux]{0,5}e[imsux]{0,5}['"]\s?,[^;]{0,80}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ nocase
        $ereg = /\bmb_ereg(i?)_replace\s{0,4}\([^;]{0,80}\$_(GET|POST|REQUEST|COOKIE)\b[^;]{0,60},\s{0,4}['"][imsux]{0,4}e['"]/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and any of ($sink_first, $input_first, $replace, $ereg))
}

rule php_decoder_to_code
{
    meta:
        title = "PHP: decoded text is run as code"
        description = "eval or assert is given what decoders make of a text"
        severity = "high"
        confidence = 85
        attack = "T1505.003 T1027 T1140 persistence defense-evasion"
        false_positives = "commercial plugins that hide their code"
    strings:
        $call = /(^|[^\w>$])(eval|assert)\s{0,8}\(\s{0,8}(['"]\s?\?>\s?['"]\s?\.\s?)?@?(gzinflate|gzuncompress|gzdecode|str_rot13|base64_decode|strrev|hex2bin|convert_uudecode|openssl_decrypt|bzdecompress)\s{0,8}\(/ nocase
        $nested = /(^|[^\w>$])(eval|assert)\s{0,8}\([^;'"]{1,40}\(\s{0,4}@?(gzinflate|gzuncompress|gzdecode|str_rot13|base64_decode|convert_uudecode)\s{0,4}\(/ nocase
        $created = /\bcreate_function\s{0,4}\([^;]{0,20},\s{0,4}@?(gzinflate|gzuncompress|str_rot13|base64_decode)\s{0,4}\(/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and any of ($call, $nested, $created))
}

rule php_request_kept_then_run
{
    meta:
        title = "PHP: a small page that runs what it was sent"
        description = "a small file takes request input into a variable, and runs a variable"
        severity = "high"
        confidence = 75
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "small scripts of an administrator's own that run commands"
    strings:
        $taken = /\$\w{1,30}\s{0,4}=\s{0,4}@?([a-z_0-9]{3,20}\s?\(\s?){0,3}(\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]|\$_SERVER\s?\[\s?['"]HTTP_|filter_input\s?\(\s?INPUT_(GET|POST|COOKIE)|['"]php:\/\/input)/ nocase
        $run = /(^|[^\w>:$])(eval|system|shell_exec|passthru|popen|proc_open|pcntl_exec|exec|create_function)\s{0,4}\([^;$'"]{0,20}(['"][^'";]{0,20}['"]\s?[.,]\s?)?\$\w{1,30}/ nocase
        $assert = /(^|[^\w>:$])assert\s{0,4}\(\s?@?\$\w{1,30}\s?\)/ nocase
        $ticks = /(=|echo|print|return)\s{0,4}`\s?\$\w{1,30}[^`\n]{0,20}`/
        $called = /(^|[^\w>:$\\'"])@?\$\w{1,30}\s?\(\s?@?\$(\w{1,30}|_(GET|POST|REQUEST|COOKIE)\s?[\[{][^\]}\n]{1,30}[\]}])\s?[),;]/
        $made = /\bnew\s\$\w{1,30}\s?\(\s?\$\w{1,30}/
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 3KB and $php and $taken and any of ($run, $assert, $ticks, $called, $made))
}

rule php_includes_request
{
    meta:
        title = "PHP: the request says which file is run"
        description = "include or require is given what a request brought"
        severity = "medium"
        confidence = 60
        attack = "T1505.003 persistence"
        false_positives = "old pages with a hole of that kind"
    strings:
        $path = /(^|[^\w>$'"])(include|require)(_once)?[\s(]{1,4}@?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{]/ nocase
        $stream = /(^|[^\w>$'"])(include|require)(_once)?[\s(]{1,4}['"](data:[^'"\n]{0,30}|php:\/\/input|https?:\/\/)['"]?[^;\n]{0,40};/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 8KB and $php and any of ($path, $stream))
}

rule php_writes_request
{
    meta:
        title = "PHP: request input is written to a file it names"
        description = "a file is written whose name and content a request brought"
        severity = "high"
        confidence = 80
        attack = "T1505.003 T1105 persistence command-and-control"
        false_positives = "simple file editors that people made themselves"
    strings:
        $put = /\bfile_put_contents\s{0,4}\([^;,]{0,60}\$_(GET|POST|REQUEST|COOKIE)\b[^;,]{0,40},[^;]{0,80}(\$_(GET|POST|REQUEST|COOKIE)\b|php:\/\/input|file_get_contents)/ nocase
        $write = /\b(fwrite|fputs)\s{0,4}\(\s?fopen\s{0,4}\([^;]{0,60}\$_(GET|POST|REQUEST|COOKIE)\b[^;]{0,80}\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
        $copy = /(^|[^\w>:$])copy\s{0,4}\(\s?\$_(GET|POST|REQUEST|COOKIE)\s?[\[{][^;]{1,40},\s?\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($php and any of ($put, $write, $copy))
}

rule php_small_uploader
{
    meta:
        title = "PHP: a small page that stores any upload under its own name"
        description = "a small file stores an upload under the name that came with it, and does little else"
        severity = "medium"
        confidence = 60
        attack = "T1505.003 T1105 persistence command-and-control"
        false_positives = "examples of how uploads work"
    strings:
        $store = /\b(move_uploaded_file|copy)\s{0,4}\(\s?\$_FILES\s?[\[{][^;]{1,60}tmp_name[^;]{1,80}\$_FILES\s?[\[{][^;]{1,40}name/ nocase
        $named = /\b(move_uploaded_file|copy)\s{0,4}\(\s?\$_FILES\s?[\[{][^;]{1,60}tmp_name[^;]{1,20},\s?\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 3KB and any of them)
}

rule php_spelled_out_function
{
    meta:
        title = "PHP: the name of a dangerous function is spelled out"
        description = "eval, assert, system or a decoder is written as escapes, numbers or pieces"
        severity = "high"
        confidence = 75
        attack = "T1505.003 T1027 persistence defense-evasion"
        false_positives = "commercial plugins that hide their code"
    strings:
        $hex = /['"](\\x65\\x76\\x61\\x6c|\\x61\\x73\\x73\\x65\\x72\\x74|\\x73\\x79\\x73\\x74\\x65\\x6d|\\x62\\x61\\x73\\x65\\x36\\x34|\\x63\\x72\\x65\\x61\\x74\\x65\\x5f\\x66|\\x73\\x68\\x65\\x6c\\x6c\\x5f)/ nocase
        $octal = /['"](\\145\\166\\141\\154|\\141\\163\\163\\145\\162\\164|\\163\\171\\163\\164\\145\\155|\\142\\141\\163\\145\\66\\64)/
        $numbers = /chr\(\s?(101|115|97|98|99)\s?\)\s?\.\s?chr\(\s?\d{2,3}\s?\)\s?\.\s?chr\(\s?\d{2,3}\s?\)\s?\.\s?chr\(/ nocase
        $pieces = /['"](as|a|ass)['"]\s?\.\s?['"](s|se|ser|sser|ert|er)['"]\s?\.\s?['"](e|r|er|ert|t|rt)['"]/ nocase
        $system = /['"](sy|s|sys)['"]\s?\.\s?['"](s|st|ste|ys|te|yst)['"]\s?\.\s?['"](tem|em|te|e|m)['"]/ nocase
        $base64 = /['"](b|ba|bas|base)['"]\s?\.\s?['"](ase|se|e|as|6|e6|64|64_)['"]\s?\.\s?['"][a-z0-9_]{1,9}['"]/ nocase
        $replaced = /str_replace\s?\(\s?['"][^'"\n]{1,6}['"]\s?,\s?['"]{2}\s?,\s?['"][^'"\n]{0,60}(cr|s|a|b)[^'"\n]{0,60}['"]\s?\)\s?;\s?\$\w{1,20}\s?=\s?\$\w{1,20}\s?\(/ nocase
        $reversed = /strrev\s?\(\s?['"](tressa|lave|metsys|edoced_46esab|noitcnuf_etaerc|cexe_llehs|urhtssap|etalfnizg)['"]/ nocase
        $xor = /\(\s?['"][^'"\w\s]{3,12}['"]\s?\^\s?['"][^'"\n]{3,12}['"]\s?\)\s?[;.(]/
        $dynamic = /(^|[^\w>:$\\'"])@?(\$\w{1,30}|\$\{?['"]?GLOBALS[^(;]{1,40}|\))\s?\(\s?@?[$'"a-z]/
        $input = /\$_(GET|POST|REQUEST|COOKIE|SERVER)\b|php:\/\/input/
        $php = "<?"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 200KB and $php and $dynamic and
        (($input and any of ($hex, $octal, $numbers, $pieces, $system, $base64, $reversed, $xor)) or
         $replaced or $reversed))
}

rule php_toolbox
{
    meta:
        title = "PHP: a page with many ways to run commands"
        description = "one page tries several ways to run commands, asks which are forbidden, and takes requests"
        severity = "high"
        confidence = 70
        attack = "T1505.003 T1059.004 T1083 persistence execution discovery"
        false_positives = "installers and diagnosis pages"
    strings:
        $way1 = /(^|[^\w>:$'"])shell_exec\s?\(\s?\$/
        $way2 = /(^|[^\w>:$'"])passthru\s?\(\s?\$/
        $way3 = /(^|[^\w>:$'"])system\s?\(\s?\$/
        $way4 = /(^|[^\w>:$'"])popen\s?\(\s?\$/
        $way5 = /(^|[^\w>:$'"])proc_open\s?\(\s?\$/
        $way6 = /(^|[^\w>:$'"])exec\s?\(\s?\$/
        $forbidden = /disable_functions|safe_mode|open_basedir/
        $input = /\$_(GET|POST|REQUEST|COOKIE)\b/
        $look1 = "posix_getpwuid"
        $look2 = "php_uname"
        $look3 = "/etc/passwd"
        $look4 = "fileperms"
        $look5 = "getmypid"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 512KB and $forbidden and $input and 4 of ($way*) and any of ($look*))
}

rule php_behinder
{
    meta:
        title = "PHP: a shell of the Behinder kind"
        description = "the body of a request is decrypted and run"
        severity = "critical"
        confidence = 90
        attack = "T1505.003 T1573.001 persistence command-and-control"
        false_positives = "none known"
    strings:
        $body = "php://input"
        $decrypt = /openssl_decrypt\s?\(|\^\s?\$\w{1,12}\s?\[\s?\$\w{1,6}\s?\+\s?1\s?&\s?15\s?\]/
        $run = /(^|[^\w>$])(eval|assert)\s?\(\s?\$|function\s__invoke\s?\(|call_user_func/
        $key = /e45e329feb5d925[b]/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 20KB and (($body and $decrypt and $run) or ($key and ($body or $decrypt))))
}

rule php_godzilla
{
    meta:
        title = "PHP: a shell of the Godzilla kind"
        description = "a payload is kept in the session, decrypted with a short repeated key, and run"
        severity = "critical"
        confidence = 92
        attack = "T1505.003 T1573.001 persistence command-and-control"
        false_positives = "none known"
    strings:
        $xor = /\[\s?\$\w{1,6}\s?\+\s?1\s?&\s?15\s?\]/
        $kept = /\$_SESSION\s?\[\s?\$\w{1,20}\s?\]/
        $run = /(^|[^\w>$])(eval|assert)\s?\(|call_user_func|new\s\$/
        $key = /3c6e0b8a9c15224[a]/
        $md5 = /substr\s?\(\s?md5\s?\(\s?\$\w{1,12}\s?\.\s?\$\w{1,12}\s?\)\s?,\s?0\s?,\s?16\s?\)/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 20KB and (($xor and $kept and $run) or ($xor and $md5) or ($key and $xor)))
}

rule php_weevely
{
    meta:
        title = "PHP: a shell of the weevely kind"
        description = "commands are found between marks in the body of a request, and the answer goes back the same way"
        severity = "critical"
        confidence = 92
        attack = "T1505.003 T1573.001 persistence command-and-control"
        false_positives = "none known"
    strings:
        $marks = /preg_match\s?\(\s?["']\/\$\w{1,6}\(\.\+\)\$\w{1,6}\/["']/
        $body = "php://input"
        $answer = "ob_get_contents"
        $joined = /\$\w{1,3}\s?=\s?str_replace\s?\(\s?['"][^'"\n]{1,6}['"]\s?,\s?['"]{2}\s?,\s?['"][^'"\n]{10,40}['"]\s?\)\s?;/
        $whole = /\$\w{1,3}\s?=\s?\$\w{1,3}\s?\(\s?['"]{2}\s?,\s?\$\w{1,3}\s?\)\s?;\s?\$\w{1,3}\s?\(\s?\)\s?;/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 20KB and (($marks and ($body or $answer)) or ($joined and $whole)))
}
