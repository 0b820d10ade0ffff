<h1>Welcome</h1><p><%= new java.util.Date() %></p>
