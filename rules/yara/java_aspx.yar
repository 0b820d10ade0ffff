// JSP and ASP(X) webshells.

rule jsp_request_to_command
{
    meta:
        title = "JSP: a page runs commands that come with requests"
        description = "a page reads requests and starts processes"
        severity = "critical"
        confidence = 85
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "administration pages"
    strings:
        $page = /<%|<jsp:/
        $input = /request\s?\.\s?get(Parameter(Values|Map)?|Header|InputStream|Reader|QueryString|Cookies)\s?\(|\$\{\s?param[.\[]/
        $exec = /getRuntime\s?\(\s?\)\s?\.\s?exec\s?\(|new\s{1,4}(java\.lang\.)?ProcessBuilder\s?\(|ProcessImpl|UNIXProcess/
        $reflected = /forName\s?\(\s?["'](java\.lang\.Runtime|java\.lang\.ProcessBuilder|java\.lang\.ProcessImpl)["']/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and $page and $input and ($exec or $reflected))
}

rule jsp_request_to_class
{
    meta:
        title = "JSP: a page loads classes that come with requests"
        description = "a page makes classes of what requests bring: shells of the Behinder and Godzilla kind"
        severity = "critical"
        confidence = 92
        attack = "T1505.003 T1620 persistence defense-evasion"
        false_positives = "none known"
    strings:
        $page = /<%|<jsp:/
        $input = /\.\s?get(Parameter|Header|InputStream|Reader|QueryString)\s?\(/
        $define = /defineClass|defineAnonymousClass|\bUnsafe\b/
        $loader = /extends\s{1,4}ClassLoader|URLClassLoader|getDeclaredMethod\s?\(/
        $decode = /Cipher\s?\.\s?getInstance|Base64|BASE64Decoder|javax\.crypto|AES/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and $page and $input and $define and ($loader or $decode))
}

rule jsp_request_to_script
{
    meta:
        title = "JSP: a page evaluates what comes with requests"
        description = "a script engine or an expression is given what a request brought"
        severity = "critical"
        confidence = 85
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "consoles for developers"
    strings:
        $page = /<%|<jsp:/
        $engine = /ScriptEngineManager|ELProcessor|ExpressionFactory|GroovyShell|javax\.script|createValueExpression/
        $eval = /\.\s?(eval|evaluate|getValue)\s?\([^;]{0,60}(request\s?\.\s?getParameter|getHeader|param\b)/
        $kept = /=\s?request\s?\.\s?getParameter\s?\(/
        $run = /\.\s?(eval|evaluate)\s?\(\s?\w{1,20}\s?\)/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 64KB and $page and $engine and ($eval or ($kept and $run)))
}

rule jsp_request_to_file
{
    meta:
        title = "JSP: a page writes files that requests name"
        description = "a file is written whose name a request brought"
        severity = "high"
        confidence = 70
        attack = "T1505.003 T1105 persistence command-and-control"
        false_positives = "simple upload pages"
    strings:
        $page = "<%"
        $write = /new\s{1,4}(java\.io\.)?(FileOutputStream|FileWriter|RandomAccessFile|PrintWriter)\s?\([^;]{0,80}request\s?\.\s?getParameter\s?\(/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 64KB and all of them)
}

rule jsp_escaped_code
{
    meta:
        title = "JSP: code is written as escapes"
        description = "most of a page's code is written as Unicode escapes"
        severity = "high"
        confidence = 75
        attack = "T1505.003 T1027 persistence defense-evasion"
        false_positives = "none known"
    strings:
        $run = /<%!?\s{0,8}(\\u{1,8}00[2-7][0-9a-f]){12}/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        ($run)
}

rule asp_request_to_code
{
    meta:
        title = "ASP: request input is run as code"
        description = "eval or execute is given what a request brought: the China Chopper kind"
        severity = "critical"
        confidence = 92
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "none known"
    strings:
        $eval = /\b(eval|execute|executeglobal)[\s(]{1,6}[^%\n]{0,60}\brequest\b\s?[.(\[]/ nocase
        $page = /<%|<script[^>]{0,60}runat/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and all of them)
}

rule aspx_request_to_command
{
    meta:
        title = "ASPX: a page runs commands that come with requests"
        description = "a page reads requests or a form and starts processes"
        severity = "critical"
        confidence = 80
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "administration pages"
    strings:
        $page = /<%\s?@\s?(Page|WebHandler|WebService)|runat\s?=\s?["']?server/ nocase
        $input = /\bRequest\s?(\.\s?(Form|QueryString|Params|Item|Headers|Cookies|InputStream)|\[)|<asp:TextBox/ nocase
        $start = /\bProcess\s?\.\s?Start\s?\(|ProcessStartInfo|CreateObject\s?\(\s?["']w?script\.shell/ nocase
        $shell = /cmd\.exe|powershell|\/bin\/(ba)?sh|\.Arguments\s?=|WScript\.Shell/ nocase
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and $page and $input and $start and $shell)
}

rule asp_shell_object
{
    meta:
        title = "ASP: a page gives request input to a shell"
        description = "the Windows script host runs what a request brought"
        severity = "critical"
        confidence = 85
        attack = "T1505.003 T1059 persistence execution"
        false_positives = "administration pages"
    strings:
        $shell = /CreateObject\s?\(\s?["']w?script\.shell["']/ nocase
        $input = /\brequest\s?(\.\s?(form|querystring|item|servervariables))?\s?\(\s?["']/ nocase
        $run = /\.\s?(exec|run)\s?\(/ nocase
        $page = "<%"
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and all of them)
}

rule aspx_request_to_assembly
{
    meta:
        title = "ASPX: a page loads code that comes with requests"
        description = "an assembly is loaded from what a request brought: shells of the Behinder and Godzilla kind"
        severity = "critical"
        confidence = 90
        attack = "T1505.003 T1620 persistence defense-evasion"
        false_positives = "none known"
    strings:
        $page = /<%\s?@\s?(Page|WebHandler|WebService)|runat\s?=\s?["']?server/ nocase
        $input = /\bRequest\s?(\.\s?(Form|QueryString|Params|Item|Headers|InputStream|BinaryRead|Files)|\[)/ nocase
        $load = /Assembly[^;\n]{0,40}\bLoad\b|GetMethod\s?\(\s?["']Load["']/
        $make = /CreateInstance|\.Equals\s?\(|RijndaelManaged|CreateDecryptor/
    condition:
        // A large program that has scripts in it is none.
        (filesize < 1MB or uint32(0) != 0x464c457f) and
        (filesize < 256KB and all of them)
}
